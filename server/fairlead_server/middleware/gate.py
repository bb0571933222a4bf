"""The one ASGI layer around vLLM: who comes in, on what terms, and what the probes say."""

import time
from collections.abc import Callable
from http import HTTPStatus

from fairlead_api.servefile import ServeFile
from fairlead_server import settings
from fairlead_server.middleware import body, probes, replies, routes, tokens
from fairlead_server.middleware.asgi import App, Receive, Scope, Send
from fairlead_server.middleware.engine import Engine, EngineUnknown
from fairlead_server.middleware.replies import Refused
from fairlead_server.middleware.routes import Route
from fairlead_server.middleware.traffic import Traffic


class Gate:
    """vLLM constructs it with the app alone (``--middleware``); the serve file says the rest."""

    def __init__(
        self,
        app: App,
        serve: ServeFile | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._serve = settings.read() if serve is None else serve
        self._traffic = Traffic(self._serve.limits.max_queued_requests, clock)
        self._bodies = body.Bodies()
        self._pulse = probes.Pulse(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # no listed path takes a websocket
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            route = routes.find(scope)
            if route is Route.GENERATE:
                await self._generate(scope, receive, send)
            elif route is Route.PASS:
                await self._app(scope, receive, send)
            elif route is Route.DRAIN:
                await self._drain(scope, send)
            else:
                await self._probe(route, scope, send)
        except Refused as refused:
            await replies.send_refused(send, refused)
        except body.Disconnected:
            return  # nobody is left to answer

    async def _generate(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._traffic.check()
        with self._bodies.one() as content:
            # Before the place: a body that trickles in must not keep one from the others.
            await content.read(scope, receive)
            with self._traffic.admitted():
                engine = Engine.of(scope)
                scope = self._bounded(scope, content, engine)
                probes.note_if_idle(engine)
                await self._app(
                    scope,
                    content.replay(receive, left=lambda: probes.note_leave(engine)),
                    replies.with_headers(send, closing=self._traffic.draining),
                )

    def _bounded(self, scope: Scope, content: body.Body, engine: Engine) -> Scope:
        limit = self._serve.limits.max_tokens
        if limit is None:
            return scope
        content.content = tokens.bounded(
            content.content, scope["path"], limit, engine.context_length
        )
        return body.with_length(scope, content.content)

    async def _drain(self, scope: Scope, send: Send) -> None:
        try:
            stuck = bool(probes.why_not_live(Engine.of(scope)))
        except EngineUnknown:
            stuck = True  # such a pod never started, so nobody waits for it
        drained = self._traffic.drain(stuck)
        await replies.send_json(send, HTTPStatus.OK, drained.as_object())

    async def _probe(self, route: Route, scope: Scope, send: Send) -> None:
        try:
            reason = self._why_not(route, scope)
        except EngineUnknown as unknown:
            reason = str(unknown)
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        await replies.send_json(
            send, status, {"reason": reason, "inFlight": self._traffic.in_flight}
        )

    def _why_not(self, route: Route, scope: Scope) -> str:
        engine = Engine.of(scope)
        probes.note_if_idle(engine)
        if route is Route.STARTUP:
            return self._pulse.why_not_started(scope)
        self._pulse.resolve_doubt(engine, scope)
        if route is Route.READY:
            return probes.why_not_ready(engine, self._traffic.draining)
        return probes.why_not_live(engine)
