"""The chaos proxy: HTTP between one operator and the real API server, with a plan's faults.

It speaks for nobody and changes no object: requests, replies and events pass byte by byte, late,
not at all, or answered in the API server's place. Everything that passes is in the trace.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import web

from fairlead_chaos import oldlists, requests
from fairlead_chaos.agenda import Agenda
from fairlead_chaos.faults import Plan
from fairlead_chaos.life import Life, silence
from fairlead_chaos.oldlists import OldLists
from fairlead_chaos.relay import Watch, answer, hang_up, pour
from fairlead_chaos.requests import Asked
from fairlead_chaos.run import PastLost, ProxyError, Run
from fairlead_chaos.trace import NOT_HEARD, Trace
from fairlead_chaos.upstream import Client, Upstream, end_to_end
from fairlead_chaos.writes import Writes

_LARGEST_BODY_BYTES: Final = 8 * 2**20
"""More than the API server takes."""
_BACKLOG: Final = 128
_SHUTDOWN_SECONDS: Final = 5.0
_Result = TypeVar("_Result")


class Proxy:
    """Between one operator and the API server, for one run.

    ``kill`` ends the operator's process and returns when it is gone. Who starts the next one awaits
    ``begin`` before.
    """

    def __init__(self, upstream: Upstream, plan: Plan, kill: Callable[[], Awaitable[None]]) -> None:
        self.trace = Trace()
        self.url = ""
        """Where the operator finds the API server, once started: http on a port of 127.0.0.1."""
        self._upstream = upstream
        agenda = Agenda(plan, self.trace)
        self._run = Run(
            agenda, OldLists(agenda), Life(kill, self._abandon, self._spawn), self.trace
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures: list[Exception] = []

    @property
    def incarnation(self) -> int:
        """Which process of the operator lives, from 1; only ever raised."""
        return self._run.life.incarnation

    async def begin(self, incarnation: int) -> None:
        """Break with the process before; what comes from now on is the next one's."""
        await self._run.begin(incarnation)

    @property
    def rests(self) -> bool:
        """Whether the living operator watches, nothing is held back from it, and no write is open.

        A run that ends sooner has not seen what the operator makes of the plan.
        """
        return self._run.rests

    async def start(self) -> str:
        """Listen; returns the URL."""
        self._client = Client(self._upstream)
        self._writes = Writes(self._run, self._client)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        # A watch whose client is gone ends; a request on its way to the API server doesn't.
        self._server = web.Server(
            self._handle,
            request_factory=self._request,
            handler_cancellation=True,
            access_log=None,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket, backlog=_BACKLOG).start()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self.url

    async def close(self) -> None:
        """End all connections; raises ProxyError where the proxy failed the plan."""
        if not self.url:
            return
        self.url = ""
        self._abandon()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self._client.close()
        if self._failures:
            first, num = self._failures[0], len(self._failures)
            raise ProxyError(f"{first} ({type(first).__name__}, 1 of {num})") from first

    def _abandon(self) -> None:
        """Break every connection, also those that nobody has accepted yet."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.accept()[0].close()
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        incarnation = self.incarnation
        try:
            response = await self._answer(request, incarnation)
        except ConnectionError:  # the operator went away
            response = None
        except Exception as error:
            self._failures.append(error)  # close() raises it
            response = None
        if response is None:
            await self._run.life.living(incarnation)  # the dying hear nothing
            hang_up(request)
            await silence()  # cancelled with the connection
        return response

    async def _answer(
        self, request: web.BaseRequest, incarnation: int
    ) -> web.StreamResponse | None:
        asked = requests.ask(
            request.method,
            request.raw_path,
            request.headers.get("Accept", ""),
            request.headers.get("Content-Type", ""),
        )
        body = await request.read()
        await self._run.life.living(incarnation)
        if asked.is_mutating:
            return await self._write(request, asked, body, incarnation)
        if asked.verb == "watch":
            return await self._watch(request, asked, incarnation)
        return await self._read(request, asked, body, incarnation)

    async def _write(
        self, request: web.BaseRequest, asked: Asked, body: bytes, incarnation: int
    ) -> web.StreamResponse | None:
        # Once begun it goes to its end, whoever has gone away meanwhile.
        carried = self._spawn(self._writes.carry_out(request, asked, body, incarnation))
        return await asyncio.shield(carried)

    async def _read(
        self, request: web.BaseRequest, asked: Asked, body: bytes, incarnation: int
    ) -> web.StreamResponse | None:
        target = request.raw_path
        version = None
        if asked.verb == "list":
            version = self._run.old_lists.version(asked, time.monotonic())
        if version is not None:
            target = oldlists.as_of(target, version)
        try:
            reply = await self._client.send(request.method, target, request.headers, body)
        except (aiohttp.ClientError, OSError):
            return None
        if version is not None and reply.code != HTTPStatus.OK:
            error = PastLost if reply.code == HTTPStatus.GONE else ProxyError
            raise error(f"no list of {asked.plural} as of {version}: {reply.body!r}")
        if asked.plural and asked.plural not in NOT_HEARD:
            answered = requests.decoded(reply.body, reply.content_type)
            self._run.history.saw_reply(asked.plural, answered)
        await self._run.life.living(incarnation)
        return await answer(request, reply.code, reply.headers, reply.body)

    async def _watch(
        self, request: web.BaseRequest, asked: Asked, incarnation: int
    ) -> web.StreamResponse | None:
        opened = self._client.stream(request.method, request.raw_path, request.headers)
        try:
            async with opened as reply:
                await self._run.life.living(incarnation)
                headers = end_to_end(reply.headers)
                response = web.StreamResponse(status=reply.status, headers=headers)
                await response.prepare(request)
                if reply.status != 200 or asked.plural in NOT_HEARD:
                    await pour(reply.content, response)
                else:
                    watch = Watch(self._run, request, response, asked)
                    await watch.relay(reply.content)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, OSError):  # of either side; the other is to learn of it
            return None

    def _spawn(self, work: Coroutine[Any, Any, _Result]) -> "asyncio.Task[_Result]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._landed)
        return task

    def _landed(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failures.append(error)

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY_BYTES
        )
