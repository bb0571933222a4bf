"""Condition types and reasons of both kinds, and the arithmetic on lists of conditions.

Conditions are the truth of a status; ``phase`` is display. Reasons are an API: users' alerts and
DAGs match on them, so they are never renamed within a version.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from fairlead_api.base import Condition


class FineTuneJobCondition(StrEnum):
    """Condition types of a FineTuneJob."""

    ADMITTED = "Admitted"  # the spec could be rendered
    DATA_READY = "DataReady"  # Prepare's result stands
    WORKERS_READY = "WorkersReady"  # every training pod runs
    TRAINED = "Trained"
    EXPORTED = "Exported"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"  # as batch/v1, for `kubectl wait`
    FAILED = "Failed"  # likewise


class ModelServiceCondition(StrEnum):
    """Condition types of a ModelService."""

    READY = "Ready"  # Available, ModelLoaded and, where asked for, RouteReady
    AVAILABLE = "Available"  # at least one replica of stable serves
    PROGRESSING = "Progressing"  # a newer revision is on its way
    MODEL_LOADED = "ModelLoaded"  # the model is resolved, and pods have loaded it
    ROUTE_READY = "RouteReady"


RECONCILE_ERROR = "ReconcileError"
"""Condition type of both kinds: our own code failed on this object; it is tried again."""


class Reason(StrEnum):
    """Reasons that stand in conditions beyond the causes of a failed stage."""

    # FineTuneJob
    RENDERED = "Rendered"
    ARGUMENT_REFUSED = "ArgumentRefused"  # an extraArgs or deepspeed.config key not on the list
    CLAIM_NOT_FOUND = "ClaimNotFound"
    STORAGE_NOT_SHARED = "StorageNotShared"  # several nodes, but the claim isn't ReadWriteMany
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    RUN_FILE_TOO_LARGE = "RunFileTooLarge"  # inline rows don't fit into a ConfigMap
    PENDING = "Pending"
    RUNNING = "Running"
    WORKERS_PENDING = "WorkersPending"  # startTimeout passed; message has the scheduler's words
    WORKERS_NOT_READY = "WorkersNotReady"  # all ran, and the node of one is silent
    RETRYING = "Retrying"
    DRAINING = "Draining"  # what an attempt that is over, or an earlier job, left still ends
    NO_PROGRESS = "NoProgress"  # disrupted again and again without a new checkpoint
    JOB_DELETED = "JobDeleted"  # somebody deleted the attempt's batch/v1 Job
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    SUCCEEDED = "Succeeded"
    FOREIGN_CHILD = "ForeignChild"  # an object of a child's name belongs to somebody else
    # ModelService
    RESOLVED = "Resolved"
    JOB_NOT_FOUND = "FineTuneJobNotFound"
    JOB_NOT_COMPLETE = "FineTuneJobNotComplete"
    JOB_FAILED = "FineTuneJobFailed"
    JOB_UNREADABLE = "FineTuneJobUnreadable"  # another version of Fairlead wrote it
    ARTIFACT_IS_ADAPTER = "ArtifactIsAdapter"  # output.mergeAdapter was false
    ARTIFACT_REFUSED = "ArtifactRefused"  # the server found it broken or dangerous
    REPLICAS_READY = "ReplicasReady"
    NO_REPLICAS_READY = "NoReplicasReady"
    SCALED_TO_ZERO = "ScaledToZero"
    ROLLING_OUT = "RollingOut"
    ROLLED_OUT = "RolledOut"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    ACCEPTED = "Accepted"
    NOT_ACCEPTED = "NotAccepted"
    GATEWAY_API_ABSENT = "GatewayAPIAbsent"
    NO_GATEWAY = "NoGateway"  # none asked for: reached by its Service only
    # both
    EXCEPTION = "Exception"  # a fault of ours; the operator's log has the traceback
    UNREADABLE = "Unreadable"  # the stored spec breaks this version's rules
    REFUSED = "Refused"  # the API server refused a write: RBAC, quota, admission, validation


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of a type, if it is there."""
    return next((condition for condition in conditions if condition.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition of a type is there and True."""
    condition = find(conditions, type_)
    return condition is not None and condition.status == "True"


def merge(
    old: Sequence[Condition], new: Iterable[Condition], drop: Iterable[str] = ()
) -> tuple[Condition, ...]:
    """Lay ``new`` over ``old``: order kept, transition times kept where status is unchanged.

    ``drop`` names the types to leave out. Equal input gives equal output, so a status that says
    nothing new makes no write.
    """
    by_type = {condition.type: condition for condition in old}
    for condition in new:
        before = by_type.get(condition.type)
        if before is not None and before.status == condition.status:
            condition = condition.model_copy(
                update={"last_transition_time": before.last_transition_time}
            )
        by_type[condition.type] = condition
    for type_ in drop:
        by_type.pop(type_, None)
    return tuple(by_type.values())


def condition(
    type_: str,
    status: bool | None,
    reason: str,
    message: str = "",
    *,
    now: datetime,
    generation: int,
) -> Condition:
    """Make a condition; ``status`` None is Unknown."""
    word = "Unknown" if status is None else str(status)
    return Condition.model_validate(
        {
            "type": type_,
            "status": word,
            "reason": reason,
            "message": message[:4096],
            "lastTransitionTime": now,
            "observedGeneration": generation,
        }
    )
