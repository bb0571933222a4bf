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


def die_with_parent(parent: int) -> None:
    """Be killed as soon as the thread that started this process ends.

    Args:
        parent: The process that started this one. It may have ended before this process asked,
            and Linux tells only of what ends afterwards.
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def name_of(pid: int) -> str:
    """A name of a process that no other one of this machine bears until it restarts."""
    return f"{pid}-{_start_time(pid)}"


def is_alive(name: str) -> bool:
    """Whether the process of that name runs on this machine; False also of what is no name.

    One that has ended and that nobody awaits yet, perhaps never, runs no more.

    What follows a second dash in a name is its owner's.
    """
    pid, *started = name.split("-")
    began = _start_time(int(pid)) if pid.isdecimal() else ""
    return bool(began) and started[:1] == [began]


def _start_time(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    words = text.rpartition(")")[2].split()
    return "" if words[0] in "ZX" else words[_START_TIME]
