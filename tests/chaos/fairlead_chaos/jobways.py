"""Every way between the specs of a FineTuneJob, and where each must lead.

Pure. ``suspend`` alone may change. What a change means depends on where the job stands then
(``STOPS``), and not every end compares with that of a job that was made so: one that was suspended
while it trained goes on from there. A way's context is the name of its stop.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise, permutations, product
from typing import Any, Final

from fairlead_api.conditions import Reason
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause
from fairlead_chaos import transitions
from fairlead_chaos.scenarios import ends, jobs
from fairlead_chaos.scenarios.ends import Fates
from fairlead_chaos.transitions import Manifest, State, Way

_FIELD: Final = "suspend"
NONE, OFF, ON = (
    State(_FIELD, name, ((_FIELD, value),))
    for name, value in {"none": None, "false": False, "true": True}.items()
)
STATES: Final = (NONE, OFF, ON)


class End(StrEnum):
    """Where a job may be in the end, and what it is compared with then."""

    AS_MADE = "AsMade"
    """Wholly as a job of the context that was never suspended."""
    SUSPENDED = "Suspended"
    """Nothing of it runs, and it says so as one does that was made suspended."""
    COMPLETE = "Complete"
    """It went on, and its result is that of a job that nobody touched."""


@dataclass(frozen=True)
class Stop:
    """Where jobs stand when they are changed: as long as nobody does, but for Retrying."""

    phase: str
    reason: str
    fates: Fates
    spec: dict[str, Any] = field(default_factory=dict)
    """Fields of the spec that differ from those of other stops."""
    has_ended: bool = False
    """For good: no spec changes that."""
    comes_again: bool = False
    """Whether a job that goes on ends as one that never stood still."""


def _well_but(*others: Fates) -> Fates:
    """Whatever attempt it is ends well, but for these."""
    well = (ends.always_succeeds(stage) for stage in Stage)
    return tuple(fate for fates in (*well, *others) for fate in fates)


QUEUED: Final = "queued"
COMPLETE: Final = "complete"
STOPS: Final = {
    "preparing": Stop("Preparing", Reason.RUNNING, _well_but(ends.runs_on(Stage.PREPARE))),
    "training": Stop("Training", Reason.RUNNING, _well_but(ends.runs_on(Stage.TRAIN))),
    "exporting": Stop("Exporting", Reason.RUNNING, _well_but(ends.runs_on(Stage.EXPORT))),
    QUEUED: Stop("Training", Reason.PENDING, _well_but(ends.runs_on(Stage.TRAIN))),
    "retrying": Stop(
        "Training",
        Reason.RETRYING,
        _well_but(ends.fails(Stage.TRAIN, Cause.CRASHED)),
        comes_again=True,
    ),
    "refused": Stop(
        "Pending",
        Reason.CLAIM_NOT_FOUND,
        _well_but(),
        {"storage": {"claimName": "absent"}},
        comes_again=True,
    ),
    "failed": Stop(
        "Failed",
        Cause.DATASET_ERROR,
        ends.fails(Stage.PREPARE, Cause.DATASET_ERROR, 1, 2),
        has_ended=True,
    ),
    COMPLETE: Stop("Succeeded", Reason.SUCCEEDED, _well_but(), has_ended=True),
}


def spec(state: State, context: str) -> Manifest:
    """The spec of a job that is made in a state."""
    made = jobs.finetunejob("any", **STOPS[context].spec)["spec"]
    return transitions.merged(made, state.patch)


def ways() -> Iterator[Way]:
    """Every pair of values at every stop; there and back, at rest and in a hurry."""
    for stop in STOPS:
        for pair in permutations(STATES, 2):
            yield Way(pair, stop)
        for three in product(STATES, repeat=3):
            if all((before is ON) != (after is ON) for before, after in pairwise(three)):
                yield Way(three, stop)
                yield Way(three, stop, hurried=True)


def possible_ends(way: Way) -> frozenset[End]:
    """Where a way may lead: of a hurried one the operator may have missed the middle."""
    stop = STOPS[way.context]
    stood = way.states[:1] if way.hurried else way.states[:-1]
    if stop.has_ended and any(state is not ON for state in stood):
        return frozenset({End.AS_MADE})
    if way.end is ON:
        return frozenset({End.SUSPENDED})
    goes_on = way.states[0] is not ON and ON in way.states
    if not goes_on or stop.has_ended or stop.comes_again:
        return frozenset({End.AS_MADE})
    return frozenset({End.COMPLETE, End.AS_MADE} if way.hurried else {End.COMPLETE})


BASIS: Final = Way((OFF,), COMPLETE)
"""A job that nobody touches, which ends well."""


def made(state: State, context: str) -> Way:
    """The way of a job that is made in a state and stays so."""
    return Way((state,), context)
