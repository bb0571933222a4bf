"""Startup, readiness and liveness, by what the engine does rather than by an open port.

vLLM's own /health stays 200 when the engine hangs. Startup generates one real token, once; the
others compare the engine's signs of life with the requests that it has taken.
"""

import logging

from fairlead_server import progress
from fairlead_server.middleware.asgi import App, Scope
from fairlead_server.middleware.engine import Engine
from fairlead_server.middleware.token import OneToken

logger = logging.getLogger(__name__)


def why_not_ready(engine: Engine, draining: bool) -> str:
    """Why no new request should come here; empty where one may."""
    if draining:
        return "draining"
    if engine.errored:
        return "the engine is dead"
    return _standstill(
        engine, engine.progress.seconds_without_tokens, progress.READY_SECONDS, "no token moved"
    )


def why_not_live(engine: Engine) -> str:
    """Why the pod is beyond hope; empty where it isn't."""
    if engine.errored:
        return "the engine is dead"
    return _standstill(
        engine,
        engine.progress.seconds_without_iteration,
        progress.LIVE_SECONDS,
        "the engine made no iteration",
    )


def note_if_idle(engine: Engine) -> None:
    """Begin to count from here where nothing runs; called before each request and probe."""
    if engine.num_unfinished == 0:
        engine.progress.idle()


def note_leave(engine: Engine) -> None:
    """Doubt an engine that a client has given up on."""
    if engine.num_unfinished > 0:
        engine.progress.doubt()


def _standstill(engine: Engine, seconds: float, bound: float, what: str) -> str:
    if engine.num_unfinished == 0 or seconds < bound:
        return ""
    return f"{what} for {seconds:.0f} s while {engine.num_unfinished} requests run"


class Pulse:
    """The tokens that probes ask for: the first one at startup, later ones in doubt."""

    def __init__(self, app: App) -> None:
        self._token = OneToken(app)
        self._started = False

    def why_not_started(self, scope: Scope) -> str:
        """Why the pod has not started, or empty once one token was generated.

        Never waits: the first token may take longer than a probe may.
        """
        if self._started:
            return ""
        problem = self._token.outcome()
        if problem is None:
            self._token.start(scope)
            return "the first token is being generated"
        if problem:
            logger.warning("no first token: %s", problem)
            return f"no first token: {problem}"
        self._started = True
        logger.info("generated the first token: the pod has started")
        return ""

    def resolve_doubt(self, engine: Engine, scope: Scope) -> None:
        """Ask an engine for a token that clients have given up on, so that it shows itself."""
        if engine.progress.doubted and engine.num_unfinished == 0:
            self._token.start(scope)
