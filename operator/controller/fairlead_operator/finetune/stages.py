"""How attempts are counted: what a stage's status becomes when its attempt is seen to end.

The counters are facts that only grow; they are written before the act they license, so that a
crash or a stale view at any point neither doubles an attempt nor reuses its number.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fairlead_api.artifact import Artifact
from fairlead_api.conditions import Reason
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import CheckpointStatus, Stage, StageStatus
from fairlead_operator.finetune import causes, children
from fairlead_operator.finetune.causes import End
from fairlead_operator.finetune.children import Children
from fairlead_operator.finetune.options import Options

MAX_MESSAGE = 2048


@dataclass(frozen=True)
class Course:
    """All stages, and what their ends have told so far."""

    stages: tuple[StageStatus, ...]
    prepared_digest: str = ""
    checkpoint: CheckpointStatus | None = None
    artifact: Artifact | None = None

    @property
    def current(self) -> StageStatus | None:
        """The first stage that hasn't succeeded; None when all have."""
        return next((stage for stage in self.stages if stage.state != "Succeeded"), None)

    def stage(self, name: Stage) -> StageStatus:
        """One stage by name."""
        return next(stage for stage in self.stages if stage.name == name)

    def with_stage(self, changed: StageStatus) -> "Course":
        """The course with one stage changed."""
        stages = (changed if stage.name == changed.name else stage for stage in self.stages)
        return replace(self, stages=tuple(stages))


def settle(job: FineTuneJob, seen: Children, now: datetime, options: Options) -> Course:
    """Count every end that was seen and isn't counted yet."""
    status = job.status
    by_name = {stage.name: stage for stage in status.stages}
    course = Course(
        stages=tuple(by_name.get(name, StageStatus(name=name)) for name in Stage),
        prepared_digest=status.prepared_digest,
        checkpoint=status.checkpoint,
        artifact=status.artifact,
    )
    while (stage := course.current) is not None:
        course = _settle_stage(course, stage, job, seen, now, options)
        if course.stage(stage.name).state != "Succeeded":
            break
    return course


def license_next(stage: StageStatus, now: datetime) -> StageStatus:
    """Give out the next attempt's number."""
    return stage.model_copy(
        update={
            "state": "Pending",
            "attempt": stage.attempt + 1,
            "start_time": stage.start_time or now,
            "retry_time": None,
        }
    )


def close(stage: StageStatus) -> StageStatus:
    """End the running attempt by our own will (suspend): it counts as nothing."""
    return stage.model_copy(update={"state": "Pending", "counted_attempt": stage.attempt})


def is_live(stage: StageStatus) -> bool:
    """Whether the newest attempt was licensed and its end isn't counted."""
    return stage.state in ("Pending", "Running") and stage.attempt > stage.counted_attempt


def _settle_stage(
    course: Course,
    stage: StageStatus,
    job: FineTuneJob,
    seen: Children,
    now: datetime,
    options: Options,
) -> Course:
    if stage.state == "Failed" or stage.attempt == 0:
        return course
    attempt = seen.attempt(stage.name, stage.attempt)
    if attempt is None:
        return course.with_stage(_missing(stage, job.spec.max_restarts, now, options))
    pods = seen.pods_of(attempt)
    outcome = children.outcome(attempt)
    if outcome is None:
        running = {"state": "Running"} if is_live(stage) else {}
        return course.with_stage(stage.model_copy(update=running))
    if not all(map(children.is_finished, pods)):
        return course  # our view of the pods is older than that of the Job: it will catch up
    end = causes.of_attempt(stage.name, attempt, pods)
    if end.verdict == "success":
        return _succeeded(course, stage, end, now)
    if not is_live(stage):
        return course
    told = _with_reports(course, stage.name, end)
    has_progress = _has_progress(course.checkpoint, told.checkpoint)
    ended = _ended(stage, end, now, options, has_progress=has_progress)
    return told.with_stage(_judged(ended, end, job.spec.max_restarts, options))


def _missing(stage: StageStatus, max_restarts: int, now: datetime, options: Options) -> StageStatus:
    """A licensed attempt without a Job: not created yet, or deleted by somebody after we saw it."""
    if stage.state != "Running":
        return stage
    end = causes.of_deleted(stage.attempt)
    ended = _ended(stage, end, now, options, has_progress=False)
    return _judged(ended, end, max_restarts, options)


def _succeeded(course: Course, stage: StageStatus, end: End, now: datetime) -> Course:
    update = {
        "state": "Succeeded",
        "counted_attempt": stage.attempt,
        "cause": end.cause,
        "message": _clip(end.message),
        "completion_time": now,
        "retry_time": None,
    }
    told = _with_reports(course, stage.name, end)
    return told.with_stage(stage.model_copy(update=update))


def _ended(
    stage: StageStatus, end: End, now: datetime, options: Options, *, has_progress: bool
) -> StageStatus:
    """Count an attempt that ended without success."""
    update: dict[str, Any] = {
        "state": "Pending",
        "counted_attempt": stage.attempt,
        "cause": end.cause,
        "message": _clip(end.message),
    }
    if end.verdict == "disruption":
        fruitless = 0 if has_progress else stage.fruitless + 1
        update |= {"disruptions": stage.disruptions + 1, "fruitless": fruitless}
        tries = max(1, fruitless)
    else:
        tries = stage.failures + 1
        update |= {"failures": tries, "fruitless": 0 if has_progress else stage.fruitless}
    return stage.model_copy(update=update | {"retry_time": now + _delay(tries, options)})


def _judged(stage: StageStatus, end: End, max_restarts: int, options: Options) -> StageStatus:
    """End the stage where another attempt would be of no use or isn't granted."""
    final: dict[str, Any] = {"state": "Failed", "retry_time": None}
    if end.verdict == "user":
        return stage.model_copy(update=final)
    if stage.failures > max_restarts:
        tail = f" ({stage.failures} failures; maxRestarts is {max_restarts})"
        text = _clip(end.message, MAX_MESSAGE - len(tail)) + tail
        return stage.model_copy(update=final | {"message": text})
    if stage.fruitless >= options.max_fruitless:
        head = f"disrupted {stage.fruitless} times without a new checkpoint, last: "
        text = _clip(head + f"{end.cause}: {end.message}")
        return stage.model_copy(update=final | {"cause": Reason.NO_PROGRESS, "message": text})
    return stage


def _with_reports(course: Course, stage: Stage, end: End) -> Course:
    """Keep what the containers told beside their cause."""
    for report in end.reports:
        if report.prepared is not None and stage is Stage.PREPARE:
            course = replace(course, prepared_digest=report.prepared.digest)
        if report.artifact is not None and stage is Stage.EXPORT:
            course = replace(course, artifact=report.artifact)
    trained = [report.training for report in end.reports if report.training is not None]
    if stage is Stage.TRAIN and trained:
        newest = max(trained, key=lambda result: result.step)
        before = course.checkpoint or CheckpointStatus()
        latest = CheckpointStatus(
            latest=newest.checkpoint or before.latest, resumed_from=newest.resumed_from or ""
        )
        course = replace(course, checkpoint=latest)
    return course


def _has_progress(before: CheckpointStatus | None, after: CheckpointStatus | None) -> bool:
    """Whether a checkpoint was heard of that wasn't known before.

    An attempt that vanished without a word is vouched for by the next: it resumed from there.
    """
    before, after = before or CheckpointStatus(), after or CheckpointStatus()
    known = {"", before.latest, before.resumed_from}
    return after.latest not in known or after.resumed_from not in known


def _delay(tries: int, options: Options) -> timedelta:
    doubled = options.retry_delay * (1 << min(tries - 1, 16))
    return min(options.retry_delay_cap, doubled)


def _clip(text: str, limit: int = MAX_MESSAGE) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
