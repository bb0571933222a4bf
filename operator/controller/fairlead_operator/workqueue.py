"""A queue of keys to reconcile: each key once, one reconcile of a key at a time.

No I/O. A key added while it is being worked on is handed out again after that; a key that
failed waits twice as long each time; a key can be asked for at a moment, or soon: a burst of
events is worth one pass and not one each. Time is the event loop's, so tests drive it. A standby
replica's queue fills and has no workers: time counts as waiting only from the first worker on.
"""

import asyncio
import random
from collections import deque
from typing import Final, Generic, TypeVar

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 300.0

KeyT = TypeVar("KeyT")


class WorkQueue(Generic[KeyT]):
    """A dirty set in order of arrival.

    ``batch_seconds`` is the least time between the beginnings of two passes over a key, where
    they are asked for by ``add_soon``.
    """

    def __init__(self, batch_seconds: float = 0.0) -> None:
        self._batch_seconds = batch_seconds
        self._begun: dict[KeyT, float] = {}  # the newest last; none that is over
        self._ready: deque[KeyT] = deque()
        self._since: dict[KeyT, float] = {}  # dirty keys, and when they became so
        self._working: set[KeyT] = set()
        self._failures: dict[KeyT, int] = {}
        self._timers: dict[KeyT, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._done_at = float("-inf")
        self._manned_at = float("inf")  # when the first worker came

    def add(self, key: KeyT) -> None:
        """Ask for a reconcile of the key now."""
        if key in self._since:
            return
        self._since[key] = asyncio.get_running_loop().time()
        if key not in self._working:
            self._ready.append(key)
            self._wake.set()

    def add_soon(self, key: KeyT) -> None:
        """Ask for a reconcile of the key: now, or once its last one began long enough ago."""
        if key in self._since:
            return
        now = asyncio.get_running_loop().time()
        due = self._begun.get(key, float("-inf")) + self._batch_seconds
        if due <= now:
            self.add(key)
        else:
            self.add_after(key, due - now)

    def add_after(self, key: KeyT, seconds: float) -> None:
        """Ask for a reconcile later; the earliest asked for wins."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, seconds)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def retry(self, key: KeyT) -> float:
        """Ask for a reconcile after a failure; returns the seconds it waits."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        doubled: float = FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 20)
        seconds = min(LONGEST_BACKOFF_SECONDS, doubled) * random.uniform(0.75, 1.25)
        self.add_after(key, seconds)
        return seconds

    def succeeded(self, key: KeyT) -> None:
        """Forget the key's failures."""
        self._failures.pop(key, None)

    async def get(self) -> KeyT:
        """The next key; it is handed to nobody else until ``done``."""
        self._manned_at = min(self._manned_at, asyncio.get_running_loop().time())
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        del self._since[key]
        self._working.add(key)
        self._note_begin(key)
        return key

    def done(self, key: KeyT) -> None:
        """The key's reconcile ended, well or not."""
        self._working.discard(key)
        self._done_at = asyncio.get_running_loop().time()
        if key in self._since:
            self._ready.append(key)
            self._wake.set()

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._since)

    def oldest_seconds(self) -> float:
        """How long the key that waits longest has waited for a worker."""
        return self._seconds_since(min(self._since.values(), default=float("inf")))

    def stalled_seconds(self) -> float:
        """How long keys have waited with no pass coming to an end; a long queue is no stall."""
        return min(self.oldest_seconds(), self._seconds_since(self._done_at))

    def _seconds_since(self, moment: float) -> float:
        """Seconds that have passed; those before the first worker came don't count."""
        return max(0.0, asyncio.get_running_loop().time() - max(moment, self._manned_at))

    def _note_begin(self, key: KeyT) -> None:
        """Remember when a pass began, for as long as that holds the next one up."""
        now = asyncio.get_running_loop().time()
        self._begun.pop(key, None)
        self._begun[key] = now
        while self._begun and next(iter(self._begun.values())) + self._batch_seconds <= now:
            del self._begun[next(iter(self._begun))]

    def _due(self, key: KeyT) -> None:
        del self._timers[key]
        self.add(key)
