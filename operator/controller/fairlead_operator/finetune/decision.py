"""What a job does now, in one word with its reason: the step that ``plan`` acts on.

``status`` turns the same step into conditions, so that what is told is what is done.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from fairlead_api.base import parse_duration
from fairlead_api.conditions import Reason
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import StageStatus
from fairlead_operator.finetune import children, stages, waiting
from fairlead_operator.finetune.admission import Refusal
from fairlead_operator.finetune.children import Children
from fairlead_operator.finetune.stages import Course
from fairlead_operator.plan import Manifest


class Kind(StrEnum):
    """What a job does now."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    RUNNING = "Running"  # the newest attempt has a Job
    REFUSED = "Refused"  # a new attempt can't begin: the spec can't run as things stand
    DRAINING = "Draining"  # a new attempt can't begin: pods of the last still end
    RETRYING = "Retrying"  # a new attempt can't begin yet: its delay runs
    LAUNCHING = "Launching"  # a new attempt begins


@dataclass(frozen=True)
class Step:
    """What a job does now and why."""

    kind: Kind
    reason: str
    message: str
    look_again: datetime | None = None
    """When to plan again though nothing is seen to change."""


def decide(
    job: FineTuneJob, course: Course, seen: Children, refusal: Refusal | None, now: datetime
) -> Step:
    """Choose the step; the course's ends are counted already."""
    stage = course.current
    if stage is None:
        return Step(Kind.SUCCEEDED, Reason.SUCCEEDED, "the artifact is exported")
    if stage.state == "Failed":
        return Step(Kind.FAILED, stage.cause, f"{stage.name}: {stage.message}")
    if job.spec.suspend:
        return _suspended(seen)
    attempt = seen.attempt(stage.name, stage.attempt) if stages.is_live(stage) else None
    if attempt is not None:
        return _running(job, stage, attempt, seen, now)
    if refusal is not None:
        return Step(Kind.REFUSED, refusal.reason, refusal.message)
    if seen.must_drain:
        return Step(Kind.DRAINING, Reason.DRAINING, f"waiting for the end of {_leftovers(seen)}")
    if stage.retry_time is not None and stage.retry_time > now:
        text = f"attempt {stage.attempt} ended: {stage.cause}: {stage.message}"
        return Step(Kind.RETRYING, Reason.RETRYING, text, stage.retry_time)
    return Step(Kind.LAUNCHING, Reason.PENDING, f"{stage.name} begins")


def _suspended(seen: Children) -> Step:
    if seen.unfinished_pods or seen.unfinished_jobs:
        text = f"spec.suspend is true; waiting for the end of {_leftovers(seen)}"
        return Step(Kind.SUSPENDED, Reason.SUSPENDED, text)
    return Step(Kind.SUSPENDED, Reason.SUSPENDED, "spec.suspend is true")


def _running(
    job: FineTuneJob, stage: StageStatus, attempt: Manifest, seen: Children, now: datetime
) -> Step:
    pods = seen.pods_of(attempt)
    num_pods = attempt["spec"].get("completions", 1)
    if waiting.num_ready(pods) >= num_pods:
        return Step(Kind.RUNNING, Reason.RUNNING, f"attempt {stage.attempt} runs")
    if (trouble := _trouble(stage, attempt, pods, seen)) is not None:
        return trouble
    seconds = parse_duration(job.spec.start_timeout)
    deadline = children.created_at(attempt) + timedelta(seconds=seconds)
    if now < deadline:
        text = f"attempt {stage.attempt} waits for its pods to run"
        return Step(Kind.RUNNING, Reason.PENDING, text, deadline)
    text = f"not running after {job.spec.start_timeout}: {waiting.words(attempt, pods)}"
    return Step(Kind.RUNNING, Reason.WORKERS_PENDING, text)


def _trouble(
    stage: StageStatus, attempt: Manifest, pods: list[Manifest], seen: Children
) -> Step | None:
    """What befell workers that ran, or keeps them from ever running: no lack of room.

    None while the attempt waits for its first start, or again in a queue.
    """
    if attempt["spec"].get("suspend"):
        return None
    if (end := waiting.end(pods)) is not None:
        text = f"attempt {stage.attempt} ends: {end}; waiting for the end of {_leftovers(seen)}"
        return Step(Kind.RUNNING, Reason.DRAINING, text)
    if len(pods) >= attempt["spec"].get("completions", 1) and all(map(children.has_begun, pods)):
        return Step(Kind.RUNNING, Reason.WORKERS_NOT_READY, waiting.not_ready(pods))
    return None


def _leftovers(seen: Children) -> str:
    """The first thing that isn't gone, a pod with its node: where an administrator has to look."""
    for pod in seen.unfinished_pods:
        # deletionTimestamp is when the grace period is over, not when deletion began.
        state = "being deleted, due to end by" if children.is_deleting(pod) else "created"
        moment = pod["metadata"].get("deletionTimestamp") or pod["metadata"]["creationTimestamp"]
        return f"pod {pod['metadata']['name']} on {children.node_of(pod)}, {state} {moment}"
    if seen.unfinished_jobs:
        return ", ".join(str(job["metadata"]["name"]) for job in seen.unfinished_jobs)
    first = seen.leftovers[0]
    return f"{first['kind']} {first['metadata']['name']}, left by an earlier job of this name"
