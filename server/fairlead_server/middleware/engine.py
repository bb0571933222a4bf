"""The few things the middleware asks vLLM's engine client, found through the app's state.

The only module that knows vLLM's objects, by the names that vLLM 0.32 gives them; it imports
none of them.
"""

from typing import Any

from fairlead_server.middleware.asgi import Scope
from fairlead_server.progress import Progress


class EngineUnknown(Exception):
    """vLLM isn't as this release of Fairlead knows it; the message says what is missing."""


class Engine:
    """vLLM's engine client as the probes see it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.progress = _progress(client)

    @classmethod
    def of(cls, scope: Scope) -> "Engine":
        """The engine of the app that answers this request; raises EngineUnknown."""
        try:
            return cls(scope["app"].state.engine_client)
        except (KeyError, AttributeError) as error:
            raise EngineUnknown(f"the app has no engine client: {error!r}") from error

    @property
    def num_unfinished(self) -> int:
        """Requests that the engine has taken and not yet answered wholly."""
        return int(self._client.get_num_unfinished_requests())

    @property
    def errored(self) -> bool:
        """Whether the engine's process is gone or broken."""
        return bool(self._client.errored)

    @property
    def context_length(self) -> int:
        """Longest prompt and answer together, in tokens."""
        return int(self._client.model_config.max_model_len)


def _progress(client: Any) -> Progress:
    for stat_logger in client.logger_manager.stat_loggers:
        progress = getattr(stat_logger, "progress", None)
        if isinstance(progress, Progress):
            return progress
    raise EngineUnknown(
        "the engine's heartbeat is not loaded: fairlead-server must be installed with its "
        "entry points, and vLLM started by `python -m fairlead_server`"
    )
