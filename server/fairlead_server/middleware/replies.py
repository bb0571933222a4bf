"""Answers that the middleware gives itself, in the shape of OpenAI's API."""

import json
from http import HTTPStatus
from typing import Any, Final

from fairlead_server.middleware.asgi import Header, Message, Send

RETRY_AFTER: Final[Header] = (b"retry-after", b"1")  # another pod, or this one, will soon be free
CLOSE: Final[Header] = (b"connection", b"close")  # the client's next request finds another pod
_RETRYABLE: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Refused(Exception):
    """A request that is answered here and never reaches vLLM."""

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        param: str | None = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.headers = headers

    def as_object(self) -> dict[str, Any]:
        """The body, as vLLM spells its own errors."""
        kind = self.status.phrase.title().replace(" ", "") + "Error"
        error = {
            "message": self.message,
            "type": kind,
            "param": self.param,
            "code": self.status.value,
        }
        return {"error": error}


async def send_json(
    send: Send, status: int, body: dict[str, Any], headers: tuple[Header, ...] = ()
) -> None:
    """Send a whole JSON answer."""
    content = json.dumps(body).encode()
    fixed: tuple[Header, ...] = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    )
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": content})


async def send_refused(send: Send, refused: Refused) -> None:
    """Answer a refused request."""
    await send_json(send, refused.status, refused.as_object(), refused.headers)


def with_headers(send: Send, closing: bool) -> Send:
    """Pass a response on, with Retry-After on vLLM's own 429 and 503, closing when draining."""

    async def passed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if message["status"] in _RETRYABLE and not any(
                name.lower() == RETRY_AFTER[0] for name, _ in headers
            ):
                headers.append(RETRY_AFTER)
            if closing:
                headers.append(CLOSE)
            message = {**message, "headers": headers}
        await send(message)

    return passed
