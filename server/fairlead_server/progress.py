"""Whether the engine moves: when it last iterated, last moved tokens, was last seen idle.

Pure but for its clock. ``heartbeat`` writes it from inside vLLM, the probes read it.
"""

import time
from collections.abc import Callable
from typing import Final

READY_SECONDS: Final = 30.0  # without a token while requests run: not ready
LIVE_SECONDS: Final = 120.0  # without an iteration, prefill included: not live


class Progress:
    """The engine's last signs of life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._iterated_at = self._moved_at = clock()
        self.doubted = False

    def iterated(self, moved_tokens: bool) -> None:
        """Note an iteration of the engine."""
        self.doubted = False
        self._iterated_at = self._clock()
        if moved_tokens:
            self._moved_at = self._iterated_at

    def idle(self) -> None:
        """Note that nothing runs: waiting for work is no standstill."""
        if self.doubted:
            return
        self._iterated_at = self._moved_at = self._clock()

    def doubt(self) -> None:
        """Note that a client gave up on a request that runs.

        A hung engine looks idle once every client has gone: it counts as idle again only after
        an iteration.
        """
        self.doubted = True

    @property
    def seconds_without_tokens(self) -> float:
        """How long no token was read or written."""
        return self._clock() - self._moved_at

    @property
    def seconds_without_iteration(self) -> float:
        """How long the engine did nothing at all."""
        return self._clock() - self._iterated_at
