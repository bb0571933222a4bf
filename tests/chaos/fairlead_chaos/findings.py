"""What the oracle may find wrong with a run. Pure data."""

from dataclasses import dataclass
from enum import StrEnum


class Wrong(StrEnum):
    """The kinds of findings; every one is a bug until shown otherwise."""

    END_STATE = "EndState"
    """An object's field, or its existence, differs from the undisturbed run."""
    WRITES = "Writes"
    """An object was created or deleted more or less often than undisturbed."""
    ORPHAN = "Orphan"
    """A child stands whose owner is gone, or that no owner claims."""
    LOG = "Log"
    """The operator complained: a traceback, an ERROR, a critical end."""
    UNREST = "Unrest"
    """Something was written after all had come to rest."""
    NO_EFFECT = "NoEffect"
    """A write that changed nothing."""
    NEVER_SETTLED = "NeverSettled"
    """The story or the settling ran out of time."""
    WRONG_DELETE = "WrongDelete"
    """Something was deleted that the undisturbed run keeps."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    wrong: Wrong
    where: str
    """Object and path, request or log line."""
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        more = f": expected {self.expected}, found {self.found}" if self.expected else ""
        return f"{self.wrong} {self.where}{more}"
