"""Where each planted bug shows: the scenario, the plan that brings it out, what it is caught as.

Data. Most bugs keep quiet undisturbed: then it is the plan that finds them.
"""

from dataclasses import dataclass
from typing import Final

from fairlead_chaos.faults import (
    Fault,
    Hold,
    Kill,
    LoseReply,
    Moment,
    OldList,
    Plan,
    Refuse,
    Told,
    Write,
)
from fairlead_chaos.findings import Wrong
from fairlead_chaos.planted import stories
from fairlead_chaos.scenario import Scenario
from fairlead_chaos.scenarios import catalogue, services

COMPLETE: Final = "complete"
MOVED_ON: Final = "moved-on"
BACK: Final = "there-and-back"
SCALED: Final = "scaled-and-gone"
SUSPENDED: Final = "suspended"
LABELLED: Final = "labelled"
ANEW: Final = "recreated-complete"
KNOWN: Final[dict[str, Scenario]] = catalogue.ALL | {one.name: one for one in stories.ALL}
HELD_SECONDS: Final = 30.0
OLD_SECONDS: Final = 45.0
"""How long a new process sees the past: until it has begun to act, on a busy machine too.

After 70 s without an event kopf would begin its watch anew.
"""


@dataclass(frozen=True)
class Showing:
    """One bug and where it shows."""

    bug: str
    scenario: str
    caught_as: Wrong
    where: str
    """Part of the place that the finding names."""
    faults: tuple[Fault, ...] = ()
    has_own_reference: bool = False
    """Whether it ends elsewhere than the product even undisturbed, so is measured by itself."""

    @property
    def plan(self) -> Plan:
        """The plan that brings it out."""
        return Plan(self.scenario, self.faults)


def _status(scenario: str) -> Write:
    """The first write of the status."""
    return Write("patch", f"{KNOWN[scenario].kind.lower()}s/status", scenario)


def _first(scenario: str) -> str:
    """The name of a service's first revision."""
    return f"{scenario}-{services.revision_of(scenario)}"


def _deployment(scenario: str, verb: str = "patch", nth: int = 1) -> Write:
    """A write of the first revision's Deployment."""
    return Write(verb, "deployments", _first(scenario), nth)


def _job(name: str, verb: str = "create") -> Write:
    return Write(verb, "jobs", name)


def _old(as_of: Write, *resources: str) -> OldList:
    return OldList(resources, as_of, OLD_SECONDS, audited=True)


_COMPLETES: Final = "it is complete"
_BEFORE, _COMMIT, _REPLY = Moment.BEFORE_SEND, Moment.AFTER_COMMIT, Moment.AFTER_REPLY
_UNDISTURBED: Final = (
    Showing("no_owner", "two-nodes", Wrong.ORPHAN, "Service/two-nodes-workers"),
    Showing("write_every_status", COMPLETE, Wrong.NO_EFFECT, "finetunejobs/status/complete"),
    Showing("restless_times", MOVED_ON, Wrong.UNREST, "modelservices/status/moved-on"),
    Showing("apply_every_child", MOVED_ON, Wrong.NO_EFFECT, "patch services/moved-on"),
    Showing("leak_services", MOVED_ON, Wrong.END_STATE, f"Service/{_first(MOVED_ON)}"),
    Showing("delete_orphans", MOVED_ON, Wrong.ORPHAN, f"ReplicaSet/{_first(MOVED_ON)}"),
    Showing("gate_on_stable", "edited-in-rollout", Wrong.NEVER_SETTLED, "it is ready"),
)
_KILLED: Final = (
    Showing(
        bug="only_events",
        scenario=COMPLETE,
        faults=(Kill(_job("complete-prepare-a1"), _BEFORE),),
        caught_as=Wrong.NEVER_SETTLED,
        where=_COMPLETES,
    ),
    Showing(
        bug="status_as_input",
        scenario=COMPLETE,
        faults=(Kill(_job("complete-train-a1"), _BEFORE),),
        caught_as=Wrong.NEVER_SETTLED,
        where=_COMPLETES,
    ),
    Showing(
        bug="acts_before_status",
        scenario=LABELLED,
        faults=(Kill(_job("labelled-train-a1"), _COMMIT),),
        caught_as=Wrong.WRONG_DELETE,
        where="delete jobs/labelled-train-a1",
    ),
    Showing(
        bug="attempts_in_memory",
        scenario=SUSPENDED,
        faults=(Kill(_job("suspended-train-a1", "delete"), _REPLY),),
        caught_as=Wrong.WRITES,
        where="create jobs/suspended-train-a1",
    ),
    Showing(
        bug="finalizer_left",
        scenario=BACK,
        faults=(Kill(_deployment(BACK, "delete"), _COMMIT),),
        caught_as=Wrong.NEVER_SETTLED,
        where=f"Deployment {_first(BACK)} is gone",
    ),
)
_UNANSWERED: Final = (
    Showing(
        bug="swallow_conflicts",
        scenario=COMPLETE,
        faults=(Refuse(_status(COMPLETE), 409),),
        caught_as=Wrong.NEVER_SETTLED,
        where=_COMPLETES,
    ),
    Showing(
        bug="give_up_when_unavailable",
        scenario=COMPLETE,
        faults=(Refuse(_status(COMPLETE), 504, times=4),),
        caught_as=Wrong.NEVER_SETTLED,
        where=_COMPLETES,
    ),
    Showing(
        bug="create_what_is_absent",
        scenario=COMPLETE,
        faults=(LoseReply(_job("complete-train-a1")),),
        caught_as=Wrong.LOG,
        where="complete-train-a1 can't be created",
    ),
    Showing(
        bug="generate_names",
        scenario=COMPLETE,
        faults=(LoseReply(_job("complete-train-a1-*")),),
        caught_as=Wrong.WRITES,
        where="create jobs/complete-train-a1-*",
        has_own_reference=True,
    ),
)
_TOLD_LATE: Final = (
    Showing(
        bug="adopt_by_name",
        # Of a job that still runs there are Jobs to delete: a refused delete reads all again.
        scenario=ANEW,
        faults=(Hold(Told("DELETED", "jobs", f"{ANEW}-prepare-a1"), HELD_SECONDS),),
        caught_as=Wrong.WRITES,
        where=f"create jobs/{ANEW}-prepare-a",
    ),
    Showing(
        bug="judge_early",
        scenario=COMPLETE,
        faults=(Hold(Told("MODIFIED", "pods", "complete-prepare-a1-0-*"), HELD_SECONDS),),
        caught_as=Wrong.END_STATE,
        where=".stages[0] .disruptions",
    ),
    Showing(
        bug="forget_own_writes",
        scenario=MOVED_ON,
        faults=(Hold(Told("ADDED", "deployments", _first(MOVED_ON)), HELD_SECONDS),),
        caught_as=Wrong.NO_EFFECT,
        where=f"patch deployments/{_first(MOVED_ON)}",
    ),
)
_SHOWN_THE_PAST: Final = (
    Showing(
        bug="delete_by_name",
        scenario=BACK,
        faults=(Kill(_deployment(BACK, nth=2), _COMMIT), _old(_deployment(BACK, "delete"))),
        caught_as=Wrong.WRONG_DELETE,
        where=f"delete deployments/{_first(BACK)}",
    ),
    Showing(
        bug="stale_status",
        scenario=LABELLED,
        faults=(
            Kill(_job("labelled-train-a1"), _REPLY),
            _old(_status(LABELLED), "finetunejobs"),
        ),
        caught_as=Wrong.WRONG_DELETE,
        where="delete jobs/labelled-train-a1",
    ),
    Showing(
        bug="apply_without_uid",
        scenario=SCALED,
        faults=(
            Kill(Told("DELETED", "deployments", _first(SCALED)), _BEFORE),
            _old(_deployment(SCALED, nth=2)),
        ),
        caught_as=Wrong.WRITES,
        where=f"create deployments/{_first(SCALED)}",
    ),
)
ALL: Final = (*_UNDISTURBED, *_KILLED, *_UNANSWERED, *_TOLD_LATE, *_SHOWN_THE_PAST)
"""Every bug once."""
