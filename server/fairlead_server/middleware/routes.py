"""Which paths exist: an allow-list, matched exactly, so that no spelling slips through.

Pure. vLLM serves some forty further paths (tokenizers, LoRA loading, profiling, scaling); what
isn't listed here is answered 404 before vLLM sees it.
"""

from enum import Enum
from http import HTTPStatus
from typing import Final

from fairlead_api import names
from fairlead_server.drain import PATH_DRAIN
from fairlead_server.middleware.asgi import Scope
from fairlead_server.middleware.replies import Refused


class Route(Enum):
    """What the middleware does with a request."""

    GENERATE = "generate"  # limits and queue apply
    PASS = "pass"
    STARTUP = "startup"
    READY = "ready"
    LIVE = "live"
    DRAIN = "drain"


PATH_CHAT: Final = f"{names.PATH_API}/chat/completions"
PATH_COMPLETIONS: Final = f"{names.PATH_API}/completions"
ROUTES: Final[dict[str, tuple[str, Route]]] = {
    PATH_CHAT: ("POST", Route.GENERATE),
    PATH_COMPLETIONS: ("POST", Route.GENERATE),
    f"{names.PATH_API}/models": ("GET", Route.PASS),
    "/health": ("GET", Route.PASS),
    "/metrics": ("GET", Route.PASS),
    names.PATH_STARTUP: ("GET", Route.STARTUP),
    names.PATH_READY: ("GET", Route.READY),
    names.PATH_LIVE: ("GET", Route.LIVE),
    PATH_DRAIN: ("POST", Route.DRAIN),
}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})


def find(scope: Scope) -> Route:
    """The route of a request; raises Refused."""
    path = scope["path"]
    known = ROUTES.get(path)
    # The server's path is already decoded: an encoded spelling of a listed path is refused as
    # well, since a gateway's rules may have read it as another one.
    if known is None or scope.get("raw_path", path.encode()) != path.encode():
        raise _not_found()
    method, route = known
    if route is Route.DRAIN and (scope.get("client") or ("",))[0] not in _LOOPBACK:
        raise _not_found()
    if scope["method"] != method:
        raise Refused(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"this path takes {method} only",
            headers=((b"allow", method.encode()),),
        )
    return route


def _not_found() -> Refused:
    return Refused(
        HTTPStatus.NOT_FOUND,
        f"no such path; this service answers {PATH_CHAT}, {PATH_COMPLETIONS} and "
        f"{names.PATH_API}/models",
    )
