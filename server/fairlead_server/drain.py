"""The preStop hook: stop being ready, let running requests end, then let SIGTERM come.

Speaks to the middleware of its own pod over the loopback interface, which no gateway reaches.
"""

import http.client
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fairlead_api import names
from fairlead_api.servefile import ServeFile

PATH_DRAIN: Final = "/fairlead/drain"  # POST, from the loopback interface only
SETTLE_SECONDS: Final = 5.0
"""How long new requests are still served, while endpoints and gateways learn of the drain."""

_POLL_SECONDS: Final = 0.25
_REQUEST_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class DrainUnknown(Exception):
    """The server's answer says nothing of its drain."""


@dataclass(frozen=True)
class Drained:
    """What the middleware says of its drain."""

    in_flight: int
    done: bool

    @classmethod
    def read(cls, content: bytes) -> "Drained":
        """Read the middleware's answer; raises DrainUnknown."""
        try:
            body = json.loads(content)
            return cls(in_flight=int(body["inFlight"]), done=bool(body["done"]))
        except (ValueError, LookupError, TypeError) as error:
            raise DrainUnknown(f"{content[:200]!r} is no answer to a drain") from error

    def as_object(self) -> dict[str, int | bool]:
        """The answer as the middleware sends it."""
        return {"inFlight": self.in_flight, "done": self.done}


def ask(port: int) -> Drained:
    """Begin the drain, or ask how far it is; raises OSError, DrainUnknown or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_SECONDS)
    try:
        connection.request("POST", PATH_DRAIN)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise DrainUnknown(f"{PATH_DRAIN} answered {reply.status}: {body[:200]!r}")
        return Drained.read(body)
    finally:
        connection.close()


def run(
    serve: ServeFile,
    port: int = names.PORT_SERVE,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until nothing runs any more, at most ``drain_seconds``; the exit code."""
    deadline = clock() + serve.drain_seconds
    while True:
        try:
            drained = ask(port)
        except ConnectionRefusedError:
            logger.info("no server listens: nothing to drain")
            return 0
        except (OSError, DrainUnknown, http.client.HTTPException) as error:
            drained = None
            logger.warning("cannot ask the server how far it is: %s", error)
        if drained is not None and drained.done:
            return 0
        if clock() >= deadline:
            logger.error("%s requests still ran after %d s", _count(drained), serve.drain_seconds)
            return 1
        pause(_POLL_SECONDS)


def _count(drained: Drained | None) -> str:
    return "an unknown number of" if drained is None else str(drained.in_flight)
