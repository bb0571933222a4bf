"""The status that a course and a step amount to: conditions first, phase for display.

Derived wholly; nothing in it moves unless something was seen to change.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from fairlead_api import conditions, names
from fairlead_api.base import Condition
from fairlead_api.conditions import FineTuneJobCondition as Type
from fairlead_api.conditions import Reason
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import FineTuneJobStatus, Stage, StageStatus, Workers
from fairlead_operator.finetune import stages, waiting
from fairlead_operator.finetune.admission import Refusal
from fairlead_operator.finetune.children import Children
from fairlead_operator.finetune.decision import Kind, Step
from fairlead_operator.finetune.stages import Course
from fairlead_operator.plan import Manifest

_CONDITION_OF: Final = {
    Stage.PREPARE: Type.DATA_READY,
    Stage.TRAIN: Type.TRAINED,
    Stage.EXPORT: Type.EXPORTED,
}
_PHASE_OF: Final = {
    Stage.PREPARE: "Preparing",
    Stage.TRAIN: "Training",
    Stage.EXPORT: "Exporting",
}


def is_finished(status: FineTuneJobStatus) -> bool:
    """Whether the job has ended for good."""
    ended = (Type.COMPLETE, Type.FAILED)
    return any(conditions.is_true(status.conditions, type_) for type_ in ended)


def of_finished(job: FineTuneJob) -> Manifest:
    """The status of a job that has ended: it stands, whatever the spec says now."""
    update = {
        "observed_generation": job.metadata.generation,
        "conditions": _without_error(job.status.conditions),
        "progress": None,
    }
    return job.status.model_copy(update=update).as_object()


def derive(
    job: FineTuneJob,
    course: Course,
    seen: Children,
    step: Step,
    refusal: Refusal | None,
    now: datetime,
) -> Manifest:
    """Write down the whole status, without ``progress``, which has another writer."""
    workers = _workers(job, course, seen)
    fresh = list(_conditions(job, course, step, refusal, workers, now))
    merged = conditions.merge(_without_error(job.status.conditions), fresh)
    status = FineTuneJobStatus(
        phase=_phase(course, step),
        reason=step.reason,
        message=step.message[: stages.MAX_MESSAGE],
        observed_generation=job.metadata.generation,
        conditions=list(merged),
        stages=list(course.stages),
        checkpoint=course.checkpoint,
        workers=workers,
        prepared_digest=course.prepared_digest,
        artifact=course.artifact,
    )
    return status.as_object()


def _without_error(old: list[Condition]) -> list[Condition]:
    """Leave out what a failed reconcile had to say: this one didn't fail."""
    return [condition for condition in old if condition.type != conditions.RECONCILE_ERROR]


def _phase(course: Course, step: Step) -> str:
    if step.kind in (Kind.SUCCEEDED, Kind.FAILED, Kind.SUSPENDED):
        return step.kind.value
    stage = course.current
    if stage is None or (stage.name is Stage.PREPARE and stage.state == "Pending"):
        return "Pending"
    return _PHASE_OF[stage.name]


def _workers(job: FineTuneJob, course: Course, seen: Children) -> Workers:
    train = course.stage(Stage.TRAIN)
    attempt = seen.attempt(Stage.TRAIN, train.attempt) if stages.is_live(train) else None
    return Workers(
        desired=job.spec.num_nodes,
        ready=waiting.num_ready(seen.pods_of(attempt)) if attempt else 0,
        gpus=job.spec.num_nodes * job.spec.resources_per_node.amount(names.GPU_RESOURCE),
    )


def _conditions(
    job: FineTuneJob,
    course: Course,
    step: Step,
    refusal: Refusal | None,
    workers: Workers,
    now: datetime,
) -> Iterator[Condition]:
    say = partial(conditions.condition, now=now, generation=job.metadata.generation)
    if refusal is None:
        yield say(Type.ADMITTED, True, Reason.RENDERED)
    else:
        yield say(Type.ADMITTED, False, refusal.reason, refusal.message)
    for stage in course.stages:
        if stage.state == "Succeeded":
            yield say(_CONDITION_OF[stage.name], True, Reason.SUCCEEDED, stage.message)
        elif stage.name == _name(course.current):
            yield say(_CONDITION_OF[stage.name], False, step.reason, step.message)
    if course.stage(Stage.TRAIN).attempt > 0:
        yield say(Type.WORKERS_READY, *_workers_ready(course, step, workers))
    if step.kind is Kind.SUSPENDED:
        yield say(Type.SUSPENDED, True, Reason.SUSPENDED, step.message)
    elif conditions.find(job.status.conditions, Type.SUSPENDED) is not None:
        yield say(Type.SUSPENDED, False, Reason.RESUMED)
    if step.kind is Kind.SUCCEEDED:
        yield say(Type.COMPLETE, True, Reason.SUCCEEDED, step.message)
    if step.kind is Kind.FAILED:
        yield say(Type.FAILED, True, step.reason, step.message)


def _name(stage: StageStatus | None) -> Stage | None:
    return stage.name if stage is not None else None


def _workers_ready(course: Course, step: Step, workers: Workers) -> tuple[bool, str, str]:
    """Status, reason and message of WorkersReady."""
    train = course.stage(Stage.TRAIN)
    if train.state == "Succeeded":
        return False, Reason.SUCCEEDED, "training has ended"
    if step.kind is Kind.RUNNING and workers.ready >= workers.desired:
        return True, Reason.RUNNING, f"{workers.ready} of {workers.desired} workers run"
    return False, step.reason, step.message
