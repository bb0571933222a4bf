"""Talks to an API server over one kept connection: thousands of questions in seconds.

Requests and answers only: knows nothing of Fairlead's kinds beyond where a group keeps them.
"""

import base64
import http.client
import json
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import yaml

Json = dict[str, Any]
CONNECTIONS: Final = 4
PATIENCE_SECONDS: Final = 180.0
"""To an API server that is busy or not yet serving something; other work runs beside."""
_TRY_SECONDS: Final = 45.0
"""For one request of them: one that was lost is sent again."""
_PAUSE_SECONDS: Final = 0.1
_UNKNOWN: Final = re.compile(r'unknown field "([^"]*)"')
_UNREADABLE_HEAD: Final = re.compile(r"Go struct field ObjectMeta\.(?:metadata\.)?(\w+)")
_BUSY: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """What the API server said to one request."""

    code: int
    body: Json

    @property
    def accepted(self) -> bool:
        """Whether it would do, or did, what was asked."""
        return self.code < 300

    @property
    def message(self) -> str:
        """The sentence that kubectl shows."""
        return str(self.body.get("message", ""))

    @property
    def named(self) -> frozenset[str]:
        """Every path that the refusal names, as a user reads it."""
        fields = {field for field, _ in self.causes if field != "<nil>"}
        unknown = _UNKNOWN.findall(self.message)
        heads = [f"metadata.{member}" for member in _UNREADABLE_HEAD.findall(self.message)]
        return frozenset({field.removeprefix(".") for field in fields} | {*unknown, *heads})

    @property
    def causes(self) -> tuple[tuple[str, str], ...]:
        """Each fault of a 422: its field as kubectl spells it, and what is wrong there."""
        causes = (self.body.get("details") or {}).get("causes") or []
        return tuple((cause.get("field", ""), cause.get("message", "")) for cause in causes)


class Wire:
    """An administrator's connection to the API server of a kubeconfig. Close it when done."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        address = urlsplit(config["clusters"][0]["cluster"]["server"])
        context = _context(config["clusters"][0]["cluster"], config["users"][0]["user"])
        self._connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, context=context, timeout=_TRY_SECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> Answer:
        """One request, sent again while the API server only asks for patience."""
        target = f"{path}?{urlencode(query)}" if query else path
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._once(method, target, content, content_type)
            if answer.code not in _BUSY or time.monotonic() > deadline:
                return answer
            time.sleep(_PAUSE_SECONDS)  # between two looks, as it asks by 429 or by silence

    def _once(self, method: str, target: str, content: bytes | None, content_type: str) -> Answer:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        try:
            self._connection.request(method, target, content, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as lost:
            # It ends connections that are idle, and is too slow for a handshake: a new one opens.
            self._connection.close()
            return Answer(503, {"message": f"no answer: {lost!r}"})
        try:
            return Answer(answer.status, json.loads(text))
        except ValueError:
            return Answer(answer.status, {"message": text.decode(errors="replace")})


Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    kubeconfig: Path, items: Sequence[Item], ask: Callable[[Wire, Item], Result]
) -> list[Result]:
    """Ask about many items over a few connections at once; the answers are in their order."""
    parts = [items[first::CONNECTIONS] for first in range(CONNECTIONS)]

    def one(part: Sequence[Item]) -> list[Result]:
        with Wire(kubeconfig) as wire:
            return [ask(wire, item) for item in part]

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = [iter(found) for found in pool.map(one, parts)]
    return [next(answers[index % CONNECTIONS]) for index in range(len(items))]


def _context(cluster: Json, user: Json) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # ssl reads files only
        for part in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[part]))
        file.flush()
        context.load_cert_chain(file.name)
    return context
