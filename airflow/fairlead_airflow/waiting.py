"""What a waiting task makes of what it sees, and how often it speaks; pure."""

import math
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


class Grace:
    """Takes success for success only once it has lasted; what was reached must not be lost."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._since: float | None = None

    def judge(self, seen: Seen) -> Seen:
        """What is seen means, so long after it was first a success."""
        if isinstance(seen, Gone) or self._seconds <= 0:
            return seen
        if isinstance(seen, outcome.Succeeded):
            if self._since is None:
                self._since = self._clock()
            if self.left() <= 0:
                return seen
            return outcome.Waiting(f"{seen.line}; must stay so for {self._seconds:g} s")
        if self._since is None:
            return seen
        lasted = self._clock() - self._since
        now = seen.line if isinstance(seen, outcome.Waiting) else f"{seen.reason}: {seen.message}"
        message = f"it was ready for {lasted:.0f} s of {self._seconds:g} s, then: {now}"
        return outcome.Failed("UnreadyInGracePeriod", message)

    def left(self) -> float:
        """Seconds until it has lasted; endless before it is reached."""
        if self._since is None:
            return math.inf
        return max(0.0, self._since + self._seconds - self._clock())


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

    def repeat(self, trouble: str = "") -> None:
        """Say it again, if it was long ago, and what keeps the news away."""
        now = self._clock()
        if now - self._told >= REPEAT_SECONDS:
            self._told = now
            waited = f"{now - self._began:.0f} s waited"
            last = self._last or "nothing seen"
            self._say("%s: %s  (%s)", self._what, last, "; ".join(filter(None, [waited, trouble])))
