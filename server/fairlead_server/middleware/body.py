"""Request bodies: read whole, within bounds of size, time and memory, and replayed to vLLM."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from fairlead_server.middleware.asgi import Message, Receive, Scope
from fairlead_server.middleware.replies import CLOSE, RETRY_AFTER, Refused

MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # a million tokens of text take about 4 MiB
MAX_HELD_BYTES: Final = 32 * MAX_BODY_BYTES  # of all requests together
READ_SECONDS: Final = 30.0  # for a body that trickles in


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Bodies:
    """What all requests hold of the pod's memory.

    A body counts from its first byte to the end of its answer, since vLLM keeps it that long.
    """

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0

    @contextmanager
    def one(self) -> Iterator["Body"]:
        """A request's body, which counts until the block ends."""
        body = Body(self)
        try:
            yield body
        finally:
            self.held_bytes -= body.num_bytes

    def take(self, num_bytes: int) -> None:
        """Count further bytes; raises Refused where there is no room for them."""
        if self.held_bytes + num_bytes > self._max_bytes:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the requests in this replica take {self._max_bytes} bytes, the most that it "
                "holds: send the request again later",
                headers=(RETRY_AFTER, CLOSE),
            )
        self.held_bytes += num_bytes


class Body:
    """One request's body: read, perhaps rewritten, given away once."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.num_bytes = 0
        self.content = b""

    async def read(
        self,
        scope: Scope,
        receive: Receive,
        max_bytes: int = MAX_BODY_BYTES,
        seconds: float = READ_SECONDS,
    ) -> None:
        """Read all of it; raises Refused beyond the bounds, Disconnected when the client left."""
        _check_announced(scope, max_bytes)
        try:
            async with asyncio.timeout(seconds):
                self.content = await self._read(receive, max_bytes)
        except TimeoutError as error:
            raise Refused(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the request's body did not arrive within {seconds:.0f} s",
                headers=(CLOSE,),
            ) from error

    async def _read(self, receive: Receive, max_bytes: int) -> bytes:
        content = bytearray()  # a list of pieces takes forty times the memory of its single bytes
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            piece = message.get("body", b"")
            if len(content) + len(piece) > max_bytes:
                raise _too_large(max_bytes)
            self._bodies.take(len(piece))
            self.num_bytes += len(piece)
            content += piece
            if not message.get("more_body", False):
                return bytes(content)

    def replay(self, receive: Receive, left: Callable[[], None]) -> Receive:
        """A receive() that gives the body once, then whatever comes; ``left`` is told of a leave.

        Keeps no reference to what it gave.
        """
        given = False

        async def receive_again() -> Message:
            nonlocal given
            if given:
                message = await receive()
                if message["type"] == "http.disconnect":
                    left()
                return message
            given = True
            content, self.content = self.content, b""
            return {"type": "http.request", "body": content, "more_body": False}

        return receive_again


def _check_announced(scope: Scope, max_bytes: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > max_bytes:
            raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request's body is larger than {max_bytes} bytes: send less",
        headers=(CLOSE,),
    )


def with_length(scope: Scope, body: bytes) -> Scope:
    """The scope of a request whose body was rewritten."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"transfer-encoding")
    ]
    return {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
