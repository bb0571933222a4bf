"""Bugs that operators of the field have had, planted to see whether the search finds them.

Each wraps ``plan()`` or overrides one habit of the operator; nothing of the product is changed.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fairlead_api import names
from fairlead_model import apiserver
from fairlead_model.apiserver import Answer
from fairlead_model.objects import Obj
from fairlead_model.operator_model import Operator
from fairlead_model.state import Planned, State, Write
from fairlead_operator.plan import Delete, Manifest, Observed, Plan, Seen

Planner = Callable[[Any, Observed, datetime, Any], Plan]
Wrap = Callable[[Planner], Planner]


@dataclass(frozen=True)
class Bug:
    """A bug and what should be found of it."""

    name: str
    scenario: str
    """The scenario that finds it."""
    finds: str
    """Words of the property that breaks, as a regular expression."""
    wrap: Wrap | None = None
    operator: type[Operator] | None = None
    menu: frozenset[str] = frozenset()
    """Disturbances, where fewer than the scenario's find it sooner."""


# --- of plans --------------------------------------------------------------------------------
def _seen_otherwise(change: Callable[[Observed], Observed]) -> Wrap:
    """A planner that sees something else than what is there."""

    def wrap(plan: Planner) -> Planner:
        return lambda resource, observed, now, options: plan(
            resource, change(observed), now, options
        )

    return wrap


def _planned_otherwise(change: Callable[[Any, Observed, Plan], Plan]) -> Wrap:
    """A planner whose answer is changed."""

    def wrap(plan: Planner) -> Planner:
        return lambda resource, observed, now, options: change(
            resource, observed, plan(resource, observed, now, options)
        )

    return wrap


def _counting_jobs(plan: Planner) -> Planner:
    """The newest attempt's number is how many Jobs there are."""

    def wrong(resource: Any, observed: Observed, now: datetime, options: Any) -> Plan:
        stages = []
        for stage in resource.status.stages:
            found = (job["metadata"]["labels"][names.LABEL_STAGE] for job in observed.jobs)
            number = sum(label == stage.name.lower() for label in found)
            stages.append(stage.model_copy(update={"attempt": number} if number else {}))
        status = resource.status.model_copy(update={"stages": stages})
        changed = resource.model_copy(update={"status": status})
        return plan(changed, observed, now, options)

    return wrong


def _deaf_to_ending_pods(observed: Observed) -> Observed:
    pods = (pod for pod in observed.pods if "deletionTimestamp" not in pod["metadata"])
    return dataclasses.replace(observed, pods=tuple(pods))


def _deaf_to_leftovers(observed: Observed) -> Observed:
    own = {job["metadata"]["uid"] for job in observed.jobs}
    pods = (p for p in observed.pods if p["metadata"]["ownerReferences"][0]["uid"] in own)
    return dataclasses.replace(observed, leftovers=(), pods=tuple(pods))


def _without_requeue(resource: Any, observed: Observed, plan: Plan) -> Plan:
    return dataclasses.replace(plan, requeue_at=None)


def _flipping(resource: Any, observed: Observed, plan: Plan) -> Plan:
    """The status' message ends with a dot in every other pass."""
    if plan.status is None:
        return plan
    before = resource.status.message
    message = plan.status["message"] + ("" if before.endswith(".") else ".")
    return dataclasses.replace(plan, status=plan.status | {"message": message})


def _stamping(resource: Any, observed: Observed, plan: Plan) -> Plan:
    """Every condition is as young as the pass."""
    if plan.status is None:
        return plan
    now = "2026-01-01T12:00:00Z"
    stamped = [entry | {"lastTransitionTime": now} for entry in plan.status["conditions"]]
    return dataclasses.replace(plan, status=plan.status | {"conditions": stamped})


def _gated_on_stable(plan: Planner) -> Planner:
    """A rollout must end before the next change of the spec is looked at."""

    def wrong(resource: Any, observed: Observed, now: datetime, options: Any) -> Plan:
        status = resource.status
        if status.candidate and status.observed_generation != resource.metadata.generation:
            return Plan(status=status.as_object())
        return plan(resource, observed, now, options)

    return wrong


def _hasty_to_delete(resource: Any, observed: Observed, plan: Plan) -> Plan:
    """What isn't stable any more goes at once."""
    stable = (plan.status or {}).get("stable")
    if not stable or (plan.status or {}).get("candidate"):
        return plan
    gone = []
    for found in observed.deployments:
        head = found["metadata"]
        if head["labels"][names.LABEL_REVISION] != stable:
            place = (head["namespace"], head["name"])
            gone.append(Delete("apps/v1", "Deployment", *place, Seen.of(found)))
    acts = tuple(act for act in plan.acts if act not in gone)
    return dataclasses.replace(plan, acts=(*acts, *gone))


def _hasty_to_move(observed: Observed) -> Observed:
    """A Deployment that exists is taken for one that serves."""

    def serving(found: Manifest) -> Manifest:
        wanted = found["spec"]["replicas"]
        status = {"observedGeneration": found["metadata"]["generation"], "replicas": wanted}
        counts = {"readyReplicas": wanted, "availableReplicas": wanted}
        return found | {"status": found.get("status", {}) | status | counts}

    return dataclasses.replace(observed, deployments=tuple(map(serving, observed.deployments)))


def _forgetful_of_pins(resource: Any, observed: Observed, plan: Plan) -> Plan:
    """A model is pinned only as long as its job is there."""
    if plan.status is None or observed.fine_tune_job is not None:
        return plan
    if resource.spec.model.fine_tune_job_ref is None:
        return plan
    status = {key: value for key, value in plan.status.items() if key != "model"}
    return dataclasses.replace(plan, status=status)


# --- of the operator's habits ----------------------------------------------------------------
class _ActsFirst(Operator):
    """Writes the status that licenses an act after the act."""

    def writes(self, seen: Obj, planned: Planned) -> tuple[Write, ...]:
        rest = super().writes(seen, planned)
        return tuple(sorted(rest, key=lambda write: write.verb == "status"))


class _ByName(Operator):
    """Deletes whatever bears the name by now."""

    def carried_out(self, state: State, write: Write) -> Answer:
        if write.verb == "delete":
            return apiserver.delete(state, write._replace(uid=""))
        return super().carried_out(state, write)


class _Adopting(Operator):
    """Takes any object of a child's name for the child."""

    def in_the_way(self, state: State, write: Write, standing: Obj | None) -> State:
        return self.go_on(state, write, None)


class _Overwriting(Operator):
    """Writes a status to whatever bears the name by now."""

    def carried_out(self, state: State, write: Write) -> Answer:
        assert state.doing is not None
        for live in state.live:
            if write.verb == "status" and live.key == state.doing.seen.key:
                return apiserver.apply_status(state, live, write.body)
        return super().carried_out(state, write)


class _CacheOnly(Operator):
    """Judges an attempt by what the watches have told so far."""

    def observed(self, state: State) -> State:
        return state


BUGS: Final = {
    bug.name: bug
    for bug in (
        Bug("attempts are Jobs counted", "train-children", "attempt", wrap=_counting_jobs),
        Bug(
            "next attempt beside ending pods",
            "train-users",
            "begins while .* may run",
            wrap=_seen_otherwise(_deaf_to_ending_pods),
        ),
        Bug(
            "leftovers ignored",
            "train-users",
            "begins while .* may run",
            wrap=_seen_otherwise(_deaf_to_leftovers),
        ),
        Bug(
            "retry never asked for",
            "train-pods",
            "at rest, but later the plan would|at rest as",
            wrap=_planned_otherwise(_without_requeue),
        ),
        Bug(
            "status that flips",
            "train-users",
            "at rest, but now the plan would write",
            wrap=_planned_otherwise(_flipping),
        ),
        Bug(
            "conditions as young as the pass",
            "serve-users",
            "at rest, but now the plan would write",
            wrap=_planned_otherwise(_stamping),
        ),
        Bug(
            "gated on stable",
            "serve-users",
            "is under way, which is not what the spec asks for",
            wrap=_gated_on_stable,
            menu=frozenset({"edit engine"}),
        ),
        Bug(
            "deletes what still takes traffic",
            "serve-troubles",
            "the plan deletes .* to which traffic goes",
            wrap=_planned_otherwise(_hasty_to_delete),
        ),
        Bug(
            "moves traffic to pods that don't answer",
            "serve-users",
            "traffic goes from",
            wrap=_seen_otherwise(_hasty_to_move),
        ),
        Bug(
            "pins forgotten",
            "serve-jobs",
            "is forgotten|the pin moves",
            wrap=_planned_otherwise(_forgetful_of_pins),
        ),
        Bug(
            "old revisions never retired",
            "serve-users",
            "at rest, but later the plan would delete",
            wrap=_planned_otherwise(_without_requeue),
        ),
        Bug("acts before their licence", "train-users", "live status licenses", None, _ActsFirst),
        Bug("traffic before its licence", "serve-users", "licensed is", None, _ActsFirst),
        Bug(
            "deletes by name",
            "train-squatters",
            "is deleted, but",
            operator=_ByName,
            menu=frozenset({"suspend", "delete Job", "squat"}),
        ),
        Bug(
            "adopts by name",
            "serve-children",
            "at rest, but now the plan would apply",
            operator=_Adopting,
            menu=frozenset({"delete child", "squat"}),
        ),
        Bug(
            "counts by the cache alone",
            "train-late-watches",
            "but told its success",
            operator=_CacheOnly,
            menu=frozenset({"silence"}),
        ),
        Bug("status by name", "train-users", "a status made for", None, _Overwriting),
    )
}
