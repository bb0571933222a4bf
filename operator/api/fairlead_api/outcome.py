"""From a resource's status to what a waiter does: go on, succeed or fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fairlead_api import conditions, names, termination
from fairlead_api.conditions import FineTuneJobCondition, ModelServiceCondition, Reason
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService

_OF_SPEC: Final = frozenset(
    {
        Reason.JOB_FAILED,
        Reason.JOB_UNREADABLE,
        Reason.ARTIFACT_IS_ADAPTER,
        Reason.ARGUMENT_REFUSED,
    }
)
"""Reasons that waiting doesn't mend."""
_OF_PODS: Final = termination.USER_CAUSES | {Reason.PROGRESS_DEADLINE_EXCEEDED}
"""Likewise, unless a newer revision is on its way: it may mend what stands."""


@dataclass(frozen=True)
class Waiting:
    """Not over; ``line`` says how far it is."""

    line: str


@dataclass(frozen=True)
class Succeeded:
    """Reached."""

    line: str


@dataclass(frozen=True)
class Failed:
    """Ended, or never to be reached without a change."""

    reason: str
    message: str


Outcome = Waiting | Succeeded | Failed


def of_body(body: Mapping[str, Any]) -> Outcome:
    """What to make of a resource of either kind, as the API server returns it.

    Raises:
        pydantic.ValidationError: When another version of Fairlead wrote it.
    """
    if body["kind"] == names.FINETUNEJOB:
        return of_finetunejob(FineTuneJob.read(body))
    return of_modelservice(ModelService.read(body))


def of_finetunejob(job: FineTuneJob) -> Outcome:
    """What to make of a FineTuneJob."""
    status = job.status
    failed = conditions.find(status.conditions, FineTuneJobCondition.FAILED)
    if failed is not None and failed.status == "True":
        return Failed(failed.reason, failed.message)
    if conditions.is_true(status.conditions, FineTuneJobCondition.COMPLETE):
        artifact = f", {status.artifact.uri}" if status.artifact else ""
        return Succeeded(f"{status.phase or 'Complete'}{artifact}")
    return Waiting("  ".join([status.phase or "not seen by the operator yet", *_progress(job)]))


def _progress(job: FineTuneJob) -> list[str]:
    status, words = job.status, []
    progress = status.progress
    is_over = conditions.is_true(status.conditions, FineTuneJobCondition.TRAINED)
    if progress is not None and progress.total_steps and not is_over:
        words.append(f"STEP {progress.step}/{progress.total_steps}")
        if progress.loss is not None:
            words.append(f"LOSS {progress.loss:.4g}")
        if progress.eta:
            words.append(f"ETA {progress.eta}")
    words += [f"({status.reason})"] if status.reason else []
    # What runs is told by its figures; what is waited for, by the sentence that says how to go on.
    return words + ([status.message] if status.message and status.reason != Reason.RUNNING else [])


def of_modelservice(service: ModelService) -> Outcome:
    """What to make of a ModelService."""
    status = service.status
    if status.observed_generation < service.metadata.generation:
        return Waiting("the operator has not seen this version yet")
    ready = conditions.find(status.conditions, ModelServiceCondition.READY)
    progressing = conditions.is_true(status.conditions, ModelServiceCondition.PROGRESSING)
    # First: while stable serves on, the service is Ready whatever became of the candidate.
    lasting = _OF_SPEC if progressing else _OF_SPEC | _OF_PODS
    for condition in status.conditions:
        if condition.status == "False" and condition.reason in lasting:
            return Failed(condition.reason, condition.message)
    if ready is not None and ready.status == "True" and not progressing:
        return Succeeded(f"Ready, {status.url}" if status.url else "Ready")
    words = [status.phase or "not ready", f"{status.ready_replicas}/{service.spec.replicas} pods"]
    if ready is not None:
        words.append(f"({ready.reason})")
        words += [ready.message] if ready.status != "True" and ready.message else []
    return Waiting("  ".join(words))


def failed_containers(pods: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(pod, container) of what ended badly, the newest end first, at most three."""
    ended = []
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or []:
            for state in (status.get("state") or {}, status.get("lastState") or {}):
                end = state.get("terminated")
                if end and end.get("exitCode"):
                    moment = end.get("finishedAt") or ""
                    ended.append((moment, pod["metadata"]["name"], status["name"]))
                    break
    return [(pod, container) for _, pod, container in sorted(ended, reverse=True)[:3]]
