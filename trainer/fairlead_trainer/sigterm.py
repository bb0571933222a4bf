"""SIGTERM that comes while Python still loads; imports nothing of ours.

The kernel keeps a signal from a PID 1 that has no handler for it. A pod that is deleted in its
first seconds would stay, with what it holds, until its grace period is over.
"""

import signal
from types import FrameType

_told: list[int] = []


def note() -> None:
    """Keep in mind that SIGTERM came, until somebody asks."""
    signal.signal(signal.SIGTERM, _note)


def came() -> bool:
    """Whether SIGTERM came since ``note``, and before another handler was set."""
    return bool(_told)


def _note(number: int, _frame: FrameType | None) -> None:
    _told.append(number)
