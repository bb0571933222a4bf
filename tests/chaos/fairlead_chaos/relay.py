"""Towards the operator: replies and watch streams on their connections."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import web

from fairlead_chaos import streams
from fairlead_chaos.requests import Asked
from fairlead_chaos.run import PastLost, ProxyError, Run
from fairlead_chaos.telling import Die, End, Pause, Step, Tell

_FLUSH_POLL_SECONDS: Final = 0.001


async def answer(
    request: web.BaseRequest, code: int, headers: Mapping[str, str], body: bytes
) -> web.StreamResponse:
    """Send a whole reply; raises ConnectionError where the client is gone."""
    response = web.Response(status=code, headers=headers, body=body)
    await response.prepare(request)
    await response.write_eof()
    return response


def hang_up(request: web.BaseRequest) -> None:
    """Break the client's connection in place of an answer."""
    if request.transport is not None:
        request.transport.abort()


async def pour(content: aiohttp.StreamReader, response: web.StreamResponse) -> None:
    """Relay a stream as it comes."""
    async for chunk in content.iter_any():
        await response.write(chunk)


async def flush(request: web.BaseRequest) -> None:
    """Return when all that was written is with the kernel, or the client is gone."""
    transport = request.transport
    while transport and not transport.is_closing() and transport.get_write_buffer_size():
        await asyncio.sleep(_FLUSH_POLL_SECONDS)


class Watch:
    """One watch stream, event by event."""

    def __init__(
        self,
        run: Run,
        request: web.BaseRequest,
        response: web.StreamResponse,
        asked: Asked,
    ) -> None:
        self._run, self._request, self._response = run, request, response
        self._plural, self._scope = asked.plural, asked.namespace
        self._incarnation = run.life.incarnation
        self._telling = run.watches(asked.plural)

    async def relay(self, content: aiohttp.StreamReader) -> None:
        """Relay until the API server or a fault ends it."""
        lines, reading = streams.Lines(), None
        try:
            while True:
                await self._wait_out_stall()
                reading = reading or asyncio.ensure_future(content.readany())
                await asyncio.wait({reading}, timeout=self._patience_seconds())
                chunk, reading = (reading.result(), None) if reading.done() else (None, reading)
                await self._run.life.living(self._incarnation)
                if chunk == b"":
                    await self._tell([lines.rest] if lines.rest else [])
                    return
                if not await self._pass(lines.feed(chunk or b"")):
                    return
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})

    async def _pass(self, lines: Iterable[bytes]) -> bool:
        """Take lines and carry out what becomes of them; False where the stream is to end."""
        steps = self._telling.due(time.monotonic(), self._scope)
        for line in lines:
            event = streams.event(line)
            if event.type == streams.ERROR and self._run.old_lists.told_from(self._plural):
                error = PastLost if event.code == HTTPStatus.GONE else ProxyError
                raise error(f"{self._plural} can't be watched from the past: {line!r}")
            told = self._run.heard(self._plural, event, self._incarnation)
            steps += self._telling.take(event, told, time.monotonic(), self._scope)
            if any(not isinstance(step, Tell) for step in steps):
                if not await self._carry_out(steps):
                    return False
                steps = []
        return await self._carry_out(steps)

    async def _carry_out(self, steps: Iterable[Step]) -> bool:
        batch: list[bytes] = []
        for step in steps:
            if isinstance(step, Tell):
                batch.append(step.line)
                continue
            await self._tell(batch)
            batch = []
            if isinstance(step, End):
                return False
            if isinstance(step, Pause):
                await self._wait_out_stall()
            elif isinstance(step, Die):
                await flush(self._request)
                await self._run.life.end()
            await self._run.life.living(self._incarnation)
        await self._tell(batch)
        return True

    async def _tell(self, batch: list[bytes]) -> None:
        if batch:
            await self._run.life.living(self._incarnation)
            await self._response.write(b"".join(batch))

    async def _wait_out_stall(self) -> None:
        """Another stream of the resource may stall it anew meanwhile."""
        while (left := self._telling.stalled_until - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def _patience_seconds(self) -> float | None:
        due = self._telling.next_due(self._scope)
        return None if due is None else max(0.0, due - time.monotonic())
