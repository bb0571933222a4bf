"""Where the gateway in front of a ModelService listens, from its HTTPRoute and Gateway; pure."""

from typing import Any, Final

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
    """``http://ADDRESS:PORT`` of a Gateway; None while it has no address, or listens to no HTTP."""
    addresses = gateway.get("status", {}).get("addresses", [])
    listeners = gateway["spec"]["listeners"]
    ports = [listener["port"] for listener in listeners if listener["protocol"] == "HTTP"]
    return f"http://{addresses[0]['value']}:{ports[0]}" if addresses and ports else None
