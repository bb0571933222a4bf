"""Lines for the one who waits: what is done now, how long it usually takes, how long it took.

Notes go to stderr, so that a shell may take what a verb prints: `eval "$(fairlead-cluster up)"`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 30.0


def say(line: str) -> None:
    """Print one line of what a verb has to tell, at once, also into a pipe."""
    print(line, flush=True)


def note(line: str) -> None:
    """Print one line beside it."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def step(what: str, usual_seconds: float | None = None) -> Iterator[None]:
    """Announce a step, repeat it while it lasts, and say how long it took.

    Args:
        what: The step in words, e.g. "build etcd (3 of 14)".
        usual_seconds: How long it usually takes on two cores; None for steps of a second.
    """
    started = time.monotonic()
    done = threading.Event()
    usual = "" if usual_seconds is None else f", usually {duration(usual_seconds)}"

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            note(f"  … {what}: {duration(time.monotonic() - started)}{usual}")

    if usual_seconds is not None:
        note(f"  … {what}{usual}")
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    note(f"  ✓ {what} ({duration(time.monotonic() - started)})")


def duration(seconds: float) -> str:
    """Write a duration the way people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
