"""The one exception by which a stage ends, and the naming of everybody else's.

Pure: knows exceptions by the name and text that reach it, so that the launcher can name the
cause of a process that it only knows from torchrun's error file. The tree::

    StageFailure(cause, message)      a named end of the stage; message is for the user
    anything else                     classified by name_cause(), Crashed where nothing fits
"""

import errno
import re
from collections.abc import Iterator
from typing import Final

from fairlead_api.termination import Cause, TrainingResult


class StageFailure(Exception):  # noqa: N818  it may as well be a disruption
    """A named end of the stage; its text says what, where, and the way out."""

    def __init__(
        self, cause: Cause, message: str, *, training: TrainingResult | None = None
    ) -> None:
        super().__init__(f"[{cause}] {message}")
        self.cause = cause
        self.message = message
        self.training = training
        """What Train had saved by then: it counts after a failure too."""


_NAMED: Final = re.compile(r"StageFailure: \[(?P<cause>\w+)\] (?P<message>.*)", re.DOTALL)
# What libraries say; the first that matches names the cause. A lost peer comes last, since the
# text of a collective that broke may quote anything.
_PATTERNS: Final = (
    (
        Cause.OUT_OF_MEMORY,
        r"OutOfMemoryError|MemoryError|DefaultCPUAllocator: can't allocate memory"
        r"|CUDA out of memory|Cannot allocate memory",
    ),
    (
        Cause.STORAGE_FULL,
        r"No space left on device|Disk quota exceeded"
        r"|PytorchStreamWriter failed writing file|unexpected pos \d+ vs \d+",
    ),
    (
        Cause.PEER_LOST,
        r"Connection closed by peer|Connection reset by peer|Broken pipe|Socket Timeout"
        r"|DistNetworkError|DistStoreError|DistBackendError|RendezvousConnectionError"
        r"|RendezvousTimeoutError|Timed out waiting \d+ms|Gloo connectFullMesh failed"
        r"|NCCL error|collective operation timeout",
    ),
)
_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_ANSWER: Final = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT})
_MESSAGES: Final = {
    Cause.OUT_OF_MEMORY: "out of memory: lower perDeviceTrainBatchSize or prepare.maxLength, set"
    " gradientCheckpointing, use LoRA or a higher zeroStage, or raise resourcesPerNode",
    Cause.STORAGE_FULL: "storage is full: free space on the claim, or lower saveTotalLimit",
    Cause.PEER_LOST: "another worker is gone; this one is well",
}


def name_cause(text: str) -> tuple[Cause, str]:
    """Name the cause behind ``ExceptionType: its text``; also returns a sentence for the user."""
    named = _NAMED.search(text)
    if named:
        return Cause(named["cause"]), named["message"].strip()
    for cause, pattern in _PATTERNS:
        if re.search(pattern, text):
            return cause, f"{_MESSAGES[cause]} ({_last_line(text)})"
    return Cause.CRASHED, _last_line(text)


def of_exception(error: BaseException) -> StageFailure:
    """Name an exception that was caught here."""
    if isinstance(error, StageFailure):
        return error
    if isinstance(error, OSError) and error.errno in _FULL_ERRORS:
        return StageFailure(Cause.STORAGE_FULL, f"{_MESSAGES[Cause.STORAGE_FULL]} ({error})")
    return StageFailure(*name_cause(f"{type(error).__name__}: {error}"))


def blamed(cause: Cause, message: str, error: Exception) -> StageFailure:
    """Blame what was being read for an exception, unless the machine explains it.

    Memory, lost peers and storage that doesn't answer pass by another attempt; a cause that is
    the user's would end the job.
    """
    named = of_exception(error)
    if named.cause is not Cause.CRASHED or any(map(_is_no_answer, _chain(error))):
        return named
    return StageFailure(cause, message)


def _is_no_answer(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _NO_ANSWER


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those behind it: libraries raise their own in place of storage's."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _last_line(text: str) -> str:
    """The last line that says something; an exception's own text ends a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "no message"
