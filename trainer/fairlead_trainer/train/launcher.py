"""PID 1 of a worker: runs torchrun, passes signals on, buries orphans, notices standstill.

Plain Python that knows nothing of training. As PID 1 it inherits every orphan of the container
and must wait for them; its own child's end is what it returns.
"""

import logging
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

log = logging.getLogger(__name__)

_TICK_SECONDS: Final = 1.0
_KILL_AFTER_SECONDS: Final = 40.0  # torchrun kills its workers 30 s after SIGTERM


@dataclass(frozen=True)
class Watch:
    """The files by which launcher and ranks know of each other, and how long things may take."""

    heartbeat: Path
    """Touched by the ranks at each step, from the first one on."""
    stop: Path
    """Made by the launcher: the ranks should agree to save and end."""
    stall_seconds: float
    """Age of the heartbeat from which on nothing moves any more."""
    save_seconds: float
    """What the ranks get to agree and save before they are ended."""

    def age(self) -> float | None:
        """Seconds since the last step; None before the first one.

        Before it, workers may wait for their peers for as long as the cluster has no room.
        """
        try:
            return time.time() - self.heartbeat.stat().st_mtime
        except FileNotFoundError:
            return None


@dataclass(frozen=True)
class Ended:
    """How the child ended."""

    code: int
    """Exit code, or minus the signal's number."""
    terminated: bool = False
    """Whether this process was told to end by SIGTERM."""
    stalled: bool = False
    """Whether the child was ended for lack of progress."""


def run(command: Sequence[str], environment: Mapping[str, str], watch: Watch) -> Ended:
    """Run a command to its end, passing on what should end it earlier."""
    with _signals() as signals:
        child = _Child(subprocess.Popen(list(command), env=dict(environment)))
        stalled = False
        while (code := child.reap()) is None:
            signals.wait(_TICK_SECONDS)
            age = watch.age()
            if signals.take_sigterm():
                # torchrun would kill its workers 30 s after a SIGTERM of its own: too soon for
                # a checkpoint, so they are asked by a file first.
                log.info("SIGTERM: %s", "ending" if age is None else "asking all ranks to save")
                watch.stop.touch()
                child.end_after(0.0 if age is None else watch.save_seconds)
            elif not stalled and age is not None and age > watch.stall_seconds:
                log.error("no step for %d s: ending the run", watch.stall_seconds)
                stalled = True
                child.end_after(0.0)
            child.enforce()
        return Ended(code=code, terminated=signals.terminated, stalled=stalled)


def wait_for_sigterm(seconds: float) -> bool:
    """Wait a while; True, at once, when told to end."""
    with _signals() as signals:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            signals.wait(left)
            if signals.take_sigterm():
                return True
    return False


class _Child:
    """torchrun, and everything that it leaves behind to PID 1."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self._term_at = math.inf
        self._kill_at = math.inf

    def end_after(self, seconds: float) -> None:
        """Send SIGTERM after a while, and SIGKILL when that didn't help."""
        self._term_at = min(self._term_at, time.monotonic() + seconds)
        self._kill_at = self._term_at + _KILL_AFTER_SECONDS

    def enforce(self) -> None:
        """Send the signals that are due."""
        now = time.monotonic()
        if now >= self._term_at:
            self._term_at = math.inf
            self._signal(signal.SIGTERM)
        if now >= self._kill_at:
            self._kill_at = math.inf
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the child; Popen's own methods would wait for it behind reap()'s back."""
        os.kill(self.process.pid, number)

    def reap(self) -> int | None:
        """Bury every process that has ended; returns the child's code when it is among them."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == self.process.pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return self.process.returncode


class _Signals:
    """SIGTERM and SIGCHLD as something that can be waited for."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.terminated = False
        self._pending = False

    def wait(self, seconds: float) -> None:
        """Wait for a signal, no longer than the given time."""
        if select.select([self.reader], [], [], seconds)[0]:
            os.read(self.reader, 4096)

    def take_sigterm(self) -> bool:
        """Whether SIGTERM came since the last call."""
        came, self._pending = self._pending, False
        return came

    def on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        """Note a SIGTERM."""
        self.terminated = self._pending = True


@contextmanager
def _signals() -> Iterator[_Signals]:
    """Handle signals here, and give them back as they were."""
    signals = _Signals()
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, signals.on_sigterm),
        signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda _number, _frame: None),
    }
    wakeup = signal.set_wakeup_fd(signals.writer, warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(signals.reader)
        os.close(signals.writer)
