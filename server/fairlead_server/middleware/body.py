"""Request bodies: read whole, within bounds of size and time, and replayed to vLLM."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from fairlead_server.middleware.asgi import Message, Receive, Scope
from fairlead_server.middleware.replies import CLOSE, Refused

MAX_BODY_BYTES: Final = 16 * 1024 * 1024  # a million tokens of text take about 4 MiB
READ_SECONDS: Final = 30.0  # a body that trickles in holds a place in the queue


class Disconnected(Exception):
    """The client went away before its request was whole."""


async def read(
    scope: Scope,
    receive: Receive,
    max_bytes: int = MAX_BODY_BYTES,
    seconds: float = READ_SECONDS,
) -> bytes:
    """The whole body; raises Refused beyond the bounds, Disconnected when the client left."""
    _check_announced(scope, max_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, max_bytes)
    except TimeoutError as error:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the request's body did not arrive within {seconds:.0f} s",
            headers=(CLOSE,),
        ) from error


def _check_announced(scope: Scope, max_bytes: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > max_bytes:
            raise _too_large(max_bytes)


async def _read(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    num_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _too_large(max_bytes: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request's body is larger than {max_bytes} bytes: send less",
        headers=(CLOSE,),
    )


def replay(body: bytes, receive: Receive, left: Callable[[], None]) -> Receive:
    """A receive() that gives the body once, then whatever comes; ``left`` is told of a leave."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            message = await receive()
            if message["type"] == "http.disconnect":
                left()
            return message
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def with_length(scope: Scope, body: bytes) -> Scope:
    """The scope of a request whose body was rewritten."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"transfer-encoding")
    ]
    return {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
