"""Where a ModelService answers and under which name; pure."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fairlead_api.modelservice import ModelService


class NotServing(ValueError):
    """The service has no address yet."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible API."""

    url: str
    """Base address, without /v1 and without a slash at its end."""
    model: str
    """The name that requests give as ``model``."""
    host: str = ""
    """Host header, where ``url`` is a gateway's address: gateways route by it."""

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        return {"Host": self.host} if self.host else {}

    def tls(self) -> ssl.SSLContext | bool:
        """Whose certificates are good, in aiohttp's words; here those that Python knows."""
        return True


def of_body(body: Mapping[str, Any], gateway_address: str = "") -> Endpoint:
    """Where a ModelService answers, by its status.

    Args:
        body: The ModelService as the API server returns it.
        gateway_address: ``http://ADDRESS[:PORT]``, where the caller's DNS doesn't know the
            services' host names.

    Raises:
        NotServing: When its status tells no url.
    """
    service = ModelService.read(body)
    name, url = service.metadata.name, service.status.url.rstrip("/")
    if not url:
        raise NotServing(f"modelservice/{name} has no url yet: wait until it is Ready")
    model = service.spec.served_model_name or name
    if not gateway_address:
        return Endpoint(url, model)
    return Endpoint(gateway_address.rstrip("/"), model, urlsplit(url).netloc)
