"""Ties processes together: one dies with its parent; another's life can be asked for by name.

Linux only; touches no process but its own.
"""

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_START_TIME: Final = 19
"""Field of /proc/PID/stat behind the name: clock ticks from boot to the process's start."""


def die_with_parent() -> None:
    """Be killed as soon as the thread that started this process ends."""
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def own_name() -> str:
    """A name of this process that no other process of this machine bears until it restarts."""
    return f"{os.getpid()}-{_start_time(os.getpid())}"


def is_alive(name: str) -> bool:
    """Whether the process of that name runs on this machine; False also of what is no name."""
    pid, _, started = name.partition("-")
    return pid.isdecimal() and _start_time(int(pid)) == started


def _start_time(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text.rpartition(")")[2].split()[_START_TIME]
