"""Which requests run in this pod, and whether it is draining.

Counts only; who waits for whom is the gate's matter. One event loop, so plain numbers do.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from fairlead_server.drain import SETTLE_SECONDS, Drained
from fairlead_server.middleware.replies import CLOSE, RETRY_AFTER, Refused


class Traffic:
    """The requests between admission and the last byte of their answer."""

    def __init__(self, max_in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._draining_since: float | None = None
        self.in_flight = 0

    @property
    def draining(self) -> bool:
        """Whether the pod is on its way out."""
        return self._draining_since is not None

    @property
    def _settled(self) -> bool:
        since = self._draining_since
        return since is not None and self._clock() - since >= SETTLE_SECONDS

    def check(self) -> None:
        """Raise Refused where there is no place for one more request."""
        if self._settled:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "this replica is shutting down: send the request again",
                headers=(RETRY_AFTER, CLOSE),
            )
        if self.in_flight >= self._max_in_flight:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self.in_flight} requests are running or waiting here, the most that this "
                "service takes (spec.limits.maxQueuedRequests): send the request again later",
                headers=(RETRY_AFTER,),
            )

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place for a request; raises Refused where there is none."""
        self.check()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def drain(self, stuck: bool) -> Drained:
        """Begin to drain, or tell how far it is; a stuck engine is not worth waiting for."""
        if self._draining_since is None:
            self._draining_since = self._clock()
        done = stuck or (self._settled and self.in_flight == 0)
        return Drained(in_flight=self.in_flight, done=done)
