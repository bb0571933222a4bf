"""Predicates on objects, for stories to wait on: each holds of a state that lasts.

Pure. None stands for an object that isn't there.
"""

from collections.abc import Callable
from typing import Any

from fairlead_api import conditions
from fairlead_api.conditions import FineTuneJobCondition, ModelServiceCondition, Reason
from fairlead_api.finetunestatus import Stage
from fairlead_chaos.scenario import Manifest

Holds = Callable[[Manifest | None], bool]


def status_of(found: Manifest | None) -> dict[str, Any]:
    """The status; empty where the object or its status isn't there."""
    return (found or {}).get("status") or {}


def is_gone(found: Manifest | None) -> bool:
    """The object isn't there."""
    return found is None


def is_there(found: Manifest | None) -> bool:
    """The object is there."""
    return found is not None


def is_new(old_uid: str) -> Holds:
    """Another object of the name is there."""

    def holds(found: Manifest | None) -> bool:
        return found is not None and found["metadata"]["uid"] != old_uid

    return holds


def says(type_: str, status: str, reason: str | None = None) -> Holds:
    """A condition stands with this status and, where given, this reason."""

    def holds(found: Manifest | None) -> bool:
        return any(
            one["type"] == type_ and one["status"] == status and reason in (None, one.get("reason"))
            for one in status_of(found).get("conditions") or []
        )

    return holds


def reconcile_error(reason: Reason) -> Holds:
    """The resource tells of a ReconcileError."""
    return says(conditions.RECONCILE_ERROR, "True", reason)


def both(*all_of: Holds) -> Holds:
    """All of these hold."""
    return lambda found: all(holds(found) for holds in all_of)


def is_at(stage: Stage, attempt: int = 1) -> Holds:
    """An attempt of a FineTuneJob's stage was seen to run; its pod's end is not told yet."""

    def holds(found: Manifest | None) -> bool:
        return any(
            one["name"] == stage and one["state"] == "Running" and one.get("attempt") == attempt
            for one in status_of(found).get("stages") or []
        )

    return holds


def trains(attempt: int) -> Holds:
    """Every worker of a Train attempt runs."""
    return both(is_at(Stage.TRAIN, attempt), says(FineTuneJobCondition.WORKERS_READY, "True"))


def serves(generation: int = 0) -> Holds:
    """The traffic of a ModelService goes to what this generation asks for, and nowhere else.

    ``stableTime`` is written once Service and route were seen to lead there, so that every child
    of the revision is there.
    """

    def holds(found: Manifest | None) -> bool:
        status = status_of(found)
        return bool(
            status.get("observedGeneration", 0) >= generation
            and status.get("stable")
            and status.get("stableTime")
            and not status.get("candidate")
        ) and says(ModelServiceCondition.PROGRESSING, "False", Reason.ROLLED_OUT)(found)

    return holds


def is_ready(generation: int = 0) -> Holds:
    """As ``serves``, with pods that answer."""
    return both(serves(generation), says(ModelServiceCondition.READY, "True"))


def is_available(replicas: int) -> Holds:
    """So many pods of a Deployment, and no other, have been ready for as long as it watches them.

    Only then its status is at rest.
    """

    def holds(found: Manifest | None) -> bool:
        status = status_of(found)
        counts = {
            status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")
        }
        return (
            found is not None
            and status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            and counts == {replicas}
            and found["spec"]["replicas"] == replicas
        )

    return holds


def has_candidate_beside(stable: str) -> Holds:
    """Another revision than stable is on its way."""

    def holds(found: Manifest | None) -> bool:
        status = status_of(found)
        return status.get("stable") == stable and status.get("candidate", "") not in ("", stable)

    return holds


def has_spec(**fields: object) -> Holds:
    """The object's spec has these values."""

    def holds(found: Manifest | None) -> bool:
        spec = (found or {}).get("spec") or {}
        return found is not None and all(spec.get(key) == value for key, value in fields.items())

    return holds


def has_labels(labels: dict[str, str]) -> Holds:
    """The object carries these labels."""

    def holds(found: Manifest | None) -> bool:
        own = ((found or {}).get("metadata") or {}).get("labels") or {}
        return own.items() >= labels.items()

    return holds


def is_taken_in(found: Manifest | None) -> bool:
    """Every parent of an HTTPRoute takes it in as it is now."""
    if found is None:
        return False
    answers = status_of(found).get("parents") or []
    conditions = [one for answer in answers for one in answer["conditions"]]
    generation = found["metadata"]["generation"]
    return [one["parentRef"] for one in answers] == found["spec"]["parentRefs"] and all(
        (one["status"], one["observedGeneration"]) == ("True", generation) for one in conditions
    )


def all_ready(num_pods: int) -> Callable[[list[Manifest]], bool]:
    """So many pods are there, none on its way out, and all are ready."""

    def holds(pods: list[Manifest]) -> bool:
        return len(pods) == num_pods and all(
            "deletionTimestamp" not in pod["metadata"] and says("Ready", "True")(pod)
            for pod in pods
        )

    return holds


def all_unscheduled(num_pods: int) -> Callable[[list[Manifest]], bool]:
    """So many pods are there, and the scheduler has found a node for none."""

    def holds(pods: list[Manifest]) -> bool:
        return len(pods) == num_pods and all(says("PodScheduled", "False")(pod) for pod in pods)

    return holds


def none_left(pods: list[Manifest]) -> bool:
    """No pod is there."""
    return not pods
