"""What a waiting task makes of what it sees, and how often it speaks; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from fairlead_api import base, outcome

REPEAT_SECONDS: Final = 300.0
"""Longest silence while something can be seen: nobody should take waiting for hanging."""


@dataclass(frozen=True)
class Gone:
    """The resource that was waited for is not there any more."""

    message: str


Seen = outcome.Outcome | Gone


def judge(body: Mapping[str, Any] | None, uid: str, generation: int) -> Seen:
    """What a version of the resource means to who waits for ``uid`` at ``generation``."""
    if body is None:
        return Gone("it was deleted while this task waited for it")
    metadata = body["metadata"]
    if metadata["uid"] != uid:
        return Gone("it was deleted, and another of its name made, while this task waited for it")
    if metadata.get("generation", 0) < generation:
        return outcome.Waiting("this version is not told of yet")
    try:
        return outcome.of_body(body)
    except ValidationError as unreadable:
        return outcome.Failed("Unreadable", base.faults(unreadable))


def event(seen: Seen) -> dict[str, str] | None:
    """What a trigger hands to its task; None while it goes on waiting."""
    match seen:
        case outcome.Waiting():
            return None
        case outcome.Succeeded(line):
            return {"result": "succeeded", "reason": "", "message": line}
        case outcome.Failed(reason, message):
            return {"result": "failed", "reason": reason, "message": message}
        case Gone(message):
            return {"result": "gone", "reason": "Gone", "message": message}


class Lines:
    """Tells each change once, and what doesn't change from time to time."""

    def __init__(self, what: str, say: Callable[..., object], clock: Callable[[], float]) -> None:
        self._what, self._say, self._clock = what, say, clock
        self._last, self._began, self._told = "", clock(), clock()

    def tell(self, seen: Seen) -> None:
        """Say how far it is, if that is news."""
        line = seen.line if isinstance(seen, outcome.Waiting | outcome.Succeeded) else ""
        if line and line != self._last:
            self._last, self._told = line, self._clock()
            self._say("%s: %s", self._what, line)

    def repeat(self) -> None:
        """Say it again, if it was long ago."""
        now = self._clock()
        if now - self._told >= REPEAT_SECONDS:
            self._told = now
            waited = now - self._began
            self._say("%s: %s  (%.0f s waited)", self._what, self._last or "nothing seen", waited)
