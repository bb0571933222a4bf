"""``fairlead ask``: one question to a ModelService over its OpenAI-compatible API."""

import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from fairlead_api.modelservice import ModelService
from fairlead_cli import errors

_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and for which model."""

    url: str
    """Base address, without a path."""
    host: str
    """Host header: what the gateway routes by."""
    model: str


def endpoint(service: ModelService, gateway: str | None) -> Endpoint:
    """Where a ModelService answers: its own url, or a gateway's address with the url's host.

    Raises:
        WrongUsage: When it has no address yet.
    """
    url = service.status.url
    name = service.metadata.name
    if not url:
        raise errors.WrongUsage(
            f"modelservice/{name} has no url yet: `fairlead wait modelservice/{name}` first"
        )
    model = service.spec.served_model_name or name
    return Endpoint(url=gateway or url, host=urlsplit(url).netloc, model=model)


def is_resolved(service: ModelService) -> bool:
    """Whether this machine's DNS knows the host of a ModelService's url."""
    host = urlsplit(service.status.url or "").hostname
    try:
        return host is not None and bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def ask(where: Endpoint, prompt: str, *, chat: bool, max_tokens: int) -> str:
    """Put the question and return the answer's text.

    Raises:
        CliError: When the service refuses or doesn't answer, with what it said.
    """
    content: dict[str, Any] = {"prompt": prompt}
    if chat:
        content = {"messages": [{"role": "user", "content": prompt}]}
    body = {"model": where.model, "max_tokens": max_tokens, "temperature": 0, **content}
    path = "/v1/chat/completions" if chat else "/v1/completions"
    request = urllib.request.Request(
        where.url.rstrip("/") + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Host": where.host},
    )
    choice = _post(request)["choices"][0]
    return str(choice["message"]["content"] if chat else choice["text"])


def _post(request: urllib.request.Request) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as refused:
        said = refused.read(2000).decode(errors="replace") or refused.reason
        raise errors.CliError(f"{request.full_url} answers {refused.code}: {said}") from refused
    except (OSError, ValueError) as broken:
        raise errors.CliError(
            f"{request.full_url} doesn't answer ({broken}): where its host name isn't resolved,"
            " give the gateway's address with --gateway http://ADDRESS"
        ) from broken
