"""What one stage of a FineTuneJob means to the task that mirrors it; pure."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from fairlead_airflow import waiting
from fairlead_api import base, outcome
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage, StageStatus

LAST: Final = tuple(Stage)[-1]
"""Its task ends with the job itself and hands on the job's result."""
TASK_IDS: Final = {stage: stage.lower() for stage in Stage}
"""How the task of each stage is called."""


def judge(body: Mapping[str, Any] | None, uid: str, generation: int, stage: Stage) -> waiting.Seen:
    """What a version of the job means to who waits for the end of one of its stages.

    A stage that is done stays so, whatever became of later ones: its task may be cleared.
    """
    of_job = waiting.judge(body, uid, generation)
    if body is None or isinstance(of_job, waiting.Gone | outcome.Succeeded):
        return of_job
    try:
        status = find(body, stage)
    except ValidationError as unreadable:
        return outcome.Failed("Unreadable", base.faults(unreadable))
    if stage is not LAST and status is not None and status.state == "Succeeded":
        return outcome.Succeeded(f"{stage} is done{_retried(status)}")
    return of_job


def result(body: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """What a stage leaves to later tasks: how it went, and the digest of the data that it made."""
    status = find(body, stage)
    plain = status.model_dump(mode="json", by_alias=True) if status else {"name": stage.value}
    if stage is Stage.PREPARE:
        plain["preparedDigest"] = FineTuneJob.read(body).status.prepared_digest
    return plain


def find(body: Mapping[str, Any], stage: Stage) -> StageStatus | None:
    """How a stage stands; None before the operator tells of it.

    Raises:
        ValidationError: When another version of Fairlead wrote the status.
    """
    return next((s for s in FineTuneJob.read(body).status.stages if s.name is stage), None)


def _retried(status: StageStatus) -> str:
    """What it took, where it took more than one attempt."""
    if status.attempt < 2:
        return ""
    ended = f"{status.failures} failed, {status.disruptions} disrupted"
    return f" by attempt {status.attempt} ({ended})"
