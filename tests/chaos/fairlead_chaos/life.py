"""The life of the operator's process as the proxy sees it, and the end that a plan puts to it.

No HTTP. Who belongs to a dead process waits for ever, until its connection's end cancels it: a
dead process hears nothing and nothing of it is forwarded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

_LOOPS_TO_ACCEPT: Final = 8
"""Event loop passes until a connection that was just accepted is in the server's books."""


async def silence() -> NoReturn:
    """Say nothing until cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable: nobody ends the wait")


class Life:
    """Which process lives, and what of it is on its way to the API server."""

    def __init__(
        self,
        kill: Callable[[], Awaitable[None]],
        abandon: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._kill, self._abandon, self._spawn = kill, abandon, spawn
        self.incarnation = 1
        self.num_kills = 0
        self._is_dying = False
        self._num_flying = 0
        self._landed = asyncio.Event()

    async def begin(self, incarnation: int) -> None:
        """A new process is about to start; the one before is dead, nothing of it comes later."""
        if incarnation <= self.incarnation:
            raise ValueError(f"incarnation {incarnation} follows {self.incarnation}")
        self._is_dying = True
        await self._sweep(self.incarnation)
        self.incarnation, self._is_dying = incarnation, False

    def lives(self, incarnation: int) -> bool:
        """Whether that process is alive."""
        return incarnation == self.incarnation and not self._is_dying

    async def living(self, incarnation: int) -> None:
        """Return if that process is alive; else never: the end of its connection cancels this."""
        if not self.lives(incarnation):
            await silence()

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Around a request to the API server: a kill waits until it has its reply."""
        self._num_flying += 1
        try:
            yield
        finally:
            self._num_flying -= 1
            self._landed.set()

    async def end(self) -> None:
        """Kill the process. From this call on nothing passes, in neither direction.

        What is on its way to the API server arrives first, so nothing of the dead comes later.
        """
        if not self._is_dying:
            self._is_dying = True
            # In a task of its own: who asks is of the dead, and cancelled with them.
            await asyncio.shield(self._spawn(self._end()))

    async def _end(self) -> None:
        mine = self.incarnation
        while self._num_flying:
            self._landed.clear()
            await self._landed.wait()
        self.num_kills += 1
        await self._kill()
        await self._sweep(mine)

    async def _sweep(self, dead: int) -> None:
        """Break a dead process's connections, also those that are not in the books yet.

        What comes through one of them would be taken for the next process's.
        """
        for _ in range(_LOOPS_TO_ACCEPT):
            if self.incarnation != dead:
                return
            self._abandon()
            await asyncio.sleep(0)
