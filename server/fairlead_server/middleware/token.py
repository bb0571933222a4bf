"""One token from the engine, asked for by the pod itself through the whole of vLLM's app."""

import asyncio
import json
from typing import Final

from fairlead_server.middleware.asgi import App, Message, Scope
from fairlead_server.middleware.routes import PATH_COMPLETIONS

# A token id and not a text: there is no text that every tokenizer knows.
_REQUEST: Final = {"prompt": [0], "max_tokens": 1, "temperature": 0, "ignore_eos": True}
_MAX_QUOTED_BYTES: Final = 500


class OneToken:
    """At most one generation at a time, in the background of the probes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._task: asyncio.Task[str] | None = None

    def start(self, like: Scope) -> None:
        """Begin to generate unless that is under way; ``like`` is any request to this app."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._generate(like))

    def outcome(self) -> str | None:
        """What went wrong, empty for a token; None until known, and once it was told."""
        if self._task is None or not self._task.done():
            return None
        task, self._task = self._task, None
        error = task.exception()
        return task.result() if error is None else repr(error)

    async def _generate(self, like: Scope) -> str:
        status, body = await post(self._app, like, PATH_COMPLETIONS, json.dumps(_REQUEST).encode())
        if status != 200:
            quoted = body[:_MAX_QUOTED_BYTES].decode(errors="replace")
            return f"{PATH_COMPLETIONS} answered {status}: {quoted}"
        num_tokens = json.loads(body)["usage"]["completion_tokens"]
        return "" if num_tokens >= 1 else "the engine generated no token"


async def post(app: App, like: Scope, path: str, content: bytes) -> tuple[int, bytes]:
    """POST JSON to the app behind the middleware, in the surroundings of another request."""
    scope = {
        **like,
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ],
    }
    pending: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]
    status, chunks = 0, list[bytes]()

    async def receive() -> Message:
        if not pending:
            await asyncio.Event().wait()  # this client never leaves
        return pending.pop()

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(chunks)
