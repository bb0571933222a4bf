"""Ends the process when its event loop stands still: a restart is the way out.

A thread of its own counts seconds without a heartbeat of the loop. It counts its own ticks, so
a process that was stopped or a machine that slept doesn't look like a stall.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

logger: Final = logging.getLogger(__name__)
STALL_SECONDS: Final = 60
EXIT_CODE: Final = 70  # EX_SOFTWARE


def _leave(report: str) -> None:
    """Say where the loop stands and leave without cleaning up: the loop can't help any more."""
    logger.critical("the event loop stood still for %d s; leaving\n%s", STALL_SECONDS, report)
    logging.shutdown()
    os._exit(EXIT_CODE)


class Watchdog:
    """Watches over the loop that runs ``beat``."""

    def __init__(
        self,
        stall_ticks: int = STALL_SECONDS,
        tick_seconds: float = 1.0,
        leave: Callable[[str], None] = _leave,
    ) -> None:
        self._stall_ticks, self._tick_seconds, self._leave = stall_ticks, tick_seconds, leave
        self._beats = 0
        self._loop_thread = 0
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    async def beat(self) -> None:
        """Show that the loop runs, for ever."""
        self._loop_thread = threading.get_ident()
        self._thread.start()
        while True:
            self._beats += 1
            await asyncio.sleep(self._tick_seconds)

    def _watch(self) -> None:
        seen, silent = self._beats, 0
        while silent < self._stall_ticks:
            time.sleep(self._tick_seconds)
            silent = silent + 1 if self._beats == seen else 0
            seen = self._beats
        frame = sys._current_frames().get(self._loop_thread)
        self._leave("".join(traceback.format_stack(frame)) if frame else "no stack")
