"""What torchrun leaves behind: which rank failed first, and with which words.

Reads torchrun's error file (its root cause is the earliest failure) and the cgroup's counter of
killed processes; names the cause, raises nothing.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure, name_cause
from fairlead_trainer.train.launcher import Ended

ENV_ERROR_FILE: Final = "TORCHELASTIC_ERROR_FILE"
_OOM_FILES: Final = (  # cgroup v2, then v1, as seen inside a container
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
_KILLED: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def failure(
    ended: Ended, error_file: Path, oom_files: Iterable[Path] = _OOM_FILES
) -> StageFailure | None:
    """Name torchrun's end; None where it ended well."""
    if ended.code == 0:
        return None
    if ended.stalled:
        return StageFailure(Cause.STALLED, "no training step within the time that one may take")
    told = _message(error_file)
    named = name_cause(told) if told else None
    cause = named[0] if named else Cause.CRASHED
    if named and cause not in (Cause.CRASHED, Cause.PEER_LOST):
        return StageFailure(*named)
    if ended.terminated and cause is not Cause.PEER_LOST:
        return StageFailure(Cause.DISRUPTED, "ended by SIGTERM before it could save")
    # A rank that the kernel killed says nothing itself; its siblings only miss a peer.
    if _killed_for_memory(oom_files):
        return StageFailure(Cause.OUT_OF_MEMORY, _OUT_OF_MEMORY)
    if named:
        return StageFailure(*named)
    return StageFailure(Cause.CRASHED, f"torchrun ended with {ended.code} and left no error file")


_OUT_OF_MEMORY: Final = (
    "the kernel killed a training process for lack of memory: raise resourcesPerNode's memory,"
    " or lower perDeviceTrainBatchSize or prepare.maxLength"
)


def _message(error_file: Path) -> str:
    """The root cause's words: ``ExceptionType: text``, or how the process died."""
    try:
        document: Any = json.loads(error_file.read_text())
    except (OSError, json.JSONDecodeError):
        return ""
    message = document.get("message", "") if isinstance(document, dict) else document
    while isinstance(message, dict):  # one level deeper for each `record` it came through
        message = message.get("message", "")
    return str(message)


def _killed_for_memory(oom_files: Iterable[Path]) -> bool:
    """Whether the kernel killed a process of this container for memory."""
    for path in oom_files:
        try:
            found = _KILLED.search(path.read_text())
        except OSError:
            continue
        if found:
            return int(found[1]) > 0
    return False
