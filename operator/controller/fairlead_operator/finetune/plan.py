"""The plan of a FineTuneJob: settle what ended, decide the next step, say what that takes.

An attempt's number stands in the plan's status, which is written before the plan's acts: a crash
in between leaves a licensed number, and the next plan creates the Job of that very name.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage, StageStatus
from fairlead_operator.finetune import admission, children, decision, stages, status
from fairlead_operator.finetune.admission import Refusal
from fairlead_operator.finetune.children import Children
from fairlead_operator.finetune.config import config_map
from fairlead_operator.finetune.decision import Kind, Step
from fairlead_operator.finetune.export import export_job
from fairlead_operator.finetune.options import Options
from fairlead_operator.finetune.prepare import prepare_job
from fairlead_operator.finetune.service import workers_service
from fairlead_operator.finetune.stages import Course
from fairlead_operator.finetune.train import train_job
from fairlead_operator.plan import (
    LOOK_AGAIN,
    Act,
    CreateOnce,
    Delete,
    Manifest,
    Observed,
    Plan,
    Seen,
    owned_by,
)

_BUILDERS: Final[dict[Stage, Callable[[FineTuneJob, int, Options], Manifest]]] = {
    Stage.PREPARE: prepare_job,
    Stage.TRAIN: train_job,
    Stage.EXPORT: export_job,
}


def plan(job: FineTuneJob, observed: Observed, now: datetime, options: Options) -> Plan:
    """Say what stands in the status and what is done next for one FineTuneJob."""
    if job.metadata.deletion_timestamp is not None:
        return Plan()  # the garbage collector takes the children; nothing new may appear
    now = now.replace(microsecond=0)  # as times stand in a status
    seen = Children.of(job, observed)
    course = stages.settle(job, seen, now, options)
    if status.is_finished(job.status):
        return Plan(status=status.of_finished(job), acts=tuple(_deletions(course, seen)))
    refusal = admission.refusal(job, observed, options)
    step = decision.decide(job, course, seen, refusal, now)
    course = _licensed(course, step.kind, now)
    acts = (*_deletions(course, seen), *_creations(job, course, seen, observed, step.kind, options))
    return Plan(
        status=status.derive(job, course, seen, step, refusal, now),
        acts=acts,
        requeue_at=_look_again(step, refusal, now),
    )


def _look_again(step: Step, refusal: Refusal | None, now: datetime) -> datetime | None:
    """When to plan again: what refuses the spec isn't watched, whatever the job does meanwhile."""
    moments = (step.look_again, now + LOOK_AGAIN if refusal else None)
    return min((moment for moment in moments if moment), default=None)


def _licensed(course: Course, kind: Kind, now: datetime) -> Course:
    """Write down the number of the attempt that is about to begin or that is given up."""
    stage = course.current
    if stage is None:
        return course
    if kind is Kind.LAUNCHING and not stages.is_live(stage):
        return course.with_stage(stages.license_next(stage, now))
    if kind is Kind.SUSPENDED and stage.state == "Running":
        return course.with_stage(stages.close(stage))
    return course


def _creations(
    job: FineTuneJob,
    course: Course,
    seen: Children,
    observed: Observed,
    kind: Kind,
    options: Options,
) -> Iterator[Act]:
    """What the live attempt needs and hasn't got."""
    stage = course.current
    if stage is None or kind not in (Kind.LAUNCHING, Kind.RUNNING):
        return
    if not _has(observed.config_maps, names.run_config_name(job.metadata.name), job):
        yield CreateOnce(config_map(job, options))
    workers = names.workers_service_name(job.metadata.name)
    must_meet = stage.name is Stage.TRAIN and job.spec.spans_nodes
    if must_meet and not _has(observed.services, workers, job):
        yield CreateOnce(workers_service(job))
    if seen.attempt(stage.name, stage.attempt) is None:
        yield CreateOnce(_BUILDERS[stage.name](job, stage.attempt, options))


def _deletions(course: Course, seen: Children) -> Iterator[Act]:
    """Jobs that must not run on, and ended ones that only take up room."""
    for child, stage, attempt in _attempts(course, seen):
        if children.is_deleting(child):
            continue
        if _is_stray(child, stage, attempt) or _is_old(child, stage, attempt):
            meta = child["metadata"]
            yield Delete("batch/v1", "Job", meta["namespace"], meta["name"], Seen.of(child))


def _attempts(course: Course, seen: Children) -> Iterator[tuple[Manifest, StageStatus, int]]:
    """Own Jobs with their stage and attempt: by their names, since labels can be edited."""
    for child in seen.jobs:
        for stage in course.stages:
            start = names.stage_job_name(seen.name, stage.name, 0).removesuffix("0")
            name = child["metadata"]["name"]
            if name.startswith(start) and (number := name.removeprefix(start)).isdecimal():
                yield child, stage, int(number)


def _is_stray(child: Manifest, stage: StageStatus, attempt: int) -> bool:
    """Whether an attempt runs that is over for us."""
    live = stages.is_live(stage) and attempt == stage.attempt
    return children.outcome(child) is None and not live


def _is_old(child: Manifest, stage: StageStatus, attempt: int) -> bool:
    """Whether the attempt ended before the last one, whose pods are kept for their logs."""
    return children.outcome(child) is not None and attempt < stage.attempt - 1


def _has(manifests: tuple[Manifest, ...], name: str, job: FineTuneJob) -> bool:
    return any(
        manifest["metadata"]["name"] == name and owned_by(manifest, job.metadata.uid)
        for manifest in manifests
    )
