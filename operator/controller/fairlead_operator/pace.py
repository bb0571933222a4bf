"""How fast one replica may ask the API server: a token bucket. Waits, and does nothing else."""

import asyncio
import time
from typing import Final

QPS: Final = 1000.0
BURST: Final = 1000.0
"""A guard against a loop that runs wild: what is under way at once is bounded by the workers, and
the API server shares itself out fairly. A thousand jobs begin with three writes each: at 200 a
second the pace alone would hold the last of them up for 13 s."""


class Pace:
    """At most ``burst`` requests at once and ``qps`` a second after that."""

    def __init__(self, qps: float = QPS, burst: float = BURST) -> None:
        self._qps, self._burst = qps, burst
        self._tokens, self._seen = burst, time.monotonic()

    async def wait(self) -> None:
        """Return when one more request may go."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._qps)
        self._seen = now
        self._tokens -= 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._qps)
