"""The way to a ModelService by its gateway's address, from HTTPRoute and Gateway; pure."""

from typing import Any, Final
from urllib.parse import urlsplit

GROUP: Final = "gateway.networking.k8s.io"
VERSION: Final = "v1"
HTTP_ROUTES: Final = "httproutes"
GATEWAYS: Final = "gateways"

Manifest = dict[str, Any]


def parent(route: Manifest) -> tuple[str, str] | None:
    """Namespace and name of the first Gateway that a route hangs on; None where it names none."""
    for reference in route["spec"].get("parentRefs", []):
        if reference.get("kind", "Gateway") == "Gateway":
            return reference.get("namespace", route["metadata"]["namespace"]), reference["name"]
    return None


def address(gateway: Manifest) -> str | None:
    """The first IP address or host name of a Gateway; None while it has none."""
    addresses = gateway.get("status", {}).get("addresses", [])
    return addresses[0]["value"] if addresses else None


def through(address: str, url: str) -> str:
    """A url with the gateway's address in the place of its host; scheme and port stay."""
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host).geturl()
