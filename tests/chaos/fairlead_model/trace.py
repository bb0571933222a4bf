"""Traces of events: told again step by step, and made as short as they get.

A trace is a list of events from the first state on; each is looked for among the steps that are
possible when it comes, so a trace means something only with its scenario.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fairlead_model.explore import HEAL, ORDERS, Explored, Model, Trace, Violation, settle
from fairlead_model.state import State, Step

MAX_DISTURBANCES: Final = 1_000_000


class NotPossible(Exception):
    """An event of a trace can't happen where it stands."""


@dataclass(frozen=True)
class Recorded:
    """A violation as a file keeps it."""

    scenario: str
    violation: Violation
    bug: str = ""
    """Name of the planted bug, where one was."""

    def as_object(self) -> dict[str, Any]:
        """The JSON of the trace."""
        return {
            "scenario": self.scenario,
            "bug": self.bug,
            "harm": self.violation.harm,
            "calm": self.violation.calm,
            "events": [list(label) for label in self.violation.trace],
        }


def read(path: Path) -> Recorded:
    """Read a trace's file; raises OSError, ValueError, KeyError."""
    found = json.loads(path.read_text())
    trace = tuple(tuple(str(word) for word in label) for label in found["events"])
    violation = Violation(found["harm"], trace, found["calm"])
    return Recorded(found["scenario"], violation, found.get("bug", ""))


def replay(
    model: Model, trace: Trace, calm: str = "", tell: Callable[[Step], None] | None = None
) -> str:
    """Let a trace happen again, and after it fair steps in an order, or in each where none is.

    Returns what is wrong, in words, empty where nothing is; raises NotPossible.
    """
    state = model.operator.settled(model.domain.start(MAX_DISTURBANCES))
    for label in trace:
        step = _find(model, state, label)
        if tell:
            tell(step)
        if step.harm:
            return step.harm
        state = step.state
    for order in (calm,) if calm else ORDERS:
        harm = settle(model, state._replace(left=0), order, {}, Explored())
        if harm:
            return harm
    return ""


def _find(model: Model, state: State, label: tuple[str, ...]) -> Step:
    if label == HEAL:
        return Step(HEAL, model.operator.settled(model.domain.healed(state)))
    for step in model.steps(state):
        if step.label == label:
            return step
    raise NotPossible(f"{' '.join(label)} can't happen here")


def shrink(model: Model, violation: Violation) -> Violation:
    """Leave out events as long as something is wrong with the rest."""
    trace, harm, calm = violation.trace, violation.harm, violation.calm
    at = len(trace) - 1
    while at >= 0:
        fewer = (*trace[:at], *trace[at + 1 :])
        try:
            found = replay(model, fewer)
        except NotPossible:
            found = ""
        if found:
            trace, harm, calm = fewer, found, ""
            at = min(at, len(trace))
        at -= 1
    return Violation(harm, trace, calm)
