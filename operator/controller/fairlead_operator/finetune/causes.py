"""Why an attempt ended: read from its pods' termination messages, then from the Job's message.

Logs are never read. Every end gets a name; where nobody left word, it is Unknown.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from fairlead_api import termination
from fairlead_api.conditions import Reason
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause, Termination
from fairlead_operator.finetune import children
from fairlead_operator.plan import Manifest

_RULE_INDEX: Final = re.compile(r"rule at index (\d+)")
_CAUSE_OF_CODE: Final = {code: cause for cause, code in termination.EXIT_CODES.items()}
_EXPLAINED_BY_DISRUPTION: Final = frozenset({Cause.CRASHED, Cause.STALLED, Cause.UNKNOWN})
_SIGKILLED: Final = 137
_POD_FAILED: Final = "BackoffLimitExceeded"  # by no rule of ours; the limit is 0
_PAYLOAD: Final = {Stage.PREPARE: "prepared", Stage.TRAIN: "training", Stage.EXPORT: "artifact"}


@dataclass(frozen=True)
class End:
    """How one attempt ended and what that means."""

    verdict: Literal["success", "user", "disruption", "failure"]
    cause: Cause | Reason
    message: str
    reports: tuple[Termination, ...]
    """What the containers told, whatever the verdict: checkpoints count after a failure too."""


def of_attempt(stage: Stage, job: Manifest, pods: list[Manifest]) -> End:
    """Name the end of a finished Job."""
    told = [(pod, report) for pod in pods if (report := _report(pod)) is not None]
    reports = tuple(report for _, report in told)
    if children.outcome(job) == "Complete":
        return _success(stage, reports)
    ends = _origins(told)
    if any(children.condition(pod, "DisruptionTarget") for pod in pods):
        named = [end for end in ends if end.cause not in _EXPLAINED_BY_DISRUPTION]
        ends = named or [Termination(cause=Cause.DISRUPTED)]
    end = termination.most_specific(ends) if ends else _of_job(job, pods)
    return End(termination.verdict(end.cause), end.cause, end.message, reports)


def of_deleted(attempt: int) -> End:
    """Name the end of a Job that somebody deleted: it took along what its pods could tell."""
    text = f"the Job of attempt {attempt} was deleted while it ran"
    return End("disruption", Reason.JOB_DELETED, text, reports=())


def _success(stage: Stage, reports: tuple[Termination, ...]) -> End:
    """A Complete Job counts only with its result; without, the stage is run again.

    The result stands in storage, so that run is short; it counts as a disruption, or a trainer
    that never tells a result would be run for ever.
    """
    for report in reports:
        if getattr(report, _PAYLOAD[stage]) is not None:
            return End("success", Cause.SUCCEEDED, report.message, reports)
    text = "the Job is complete, but no pod's termination message has its result"
    return End("disruption", Cause.UNKNOWN, text, reports)


def _origins(told: list[tuple[Manifest, Termination]]) -> list[Termination]:
    """The ends that may explain an attempt that failed.

    The Job deletes the peers of a pod that failed: their being disrupted explains nothing then,
    not even a failure that nobody named.
    """
    failed = [(pod, end) for pod, end in told if end.cause is not Cause.SUCCEEDED]
    by_itself = any(
        end.cause is Cause.UNKNOWN and not children.is_deleting(pod) for pod, end in failed
    )
    return [
        end
        for pod, end in failed
        if not (by_itself and end.cause is Cause.DISRUPTED and children.is_deleting(pod))
    ]


def _report(pod: Manifest) -> Termination | None:
    """What a pod's end says; None where its container left none."""
    disruption = children.condition(pod, "DisruptionTarget")
    terminated = children.container_state(pod).get("terminated")
    if terminated is None:
        if disruption is None:
            return None
        return Termination(cause=Cause.DISRUPTED, message=_disruption_text(pod, disruption))
    report = termination.of_container(terminated)
    is_killed = report.cause is Cause.UNKNOWN and terminated["exitCode"] == _SIGKILLED
    if is_killed and children.is_deleting(pod):
        text = f"{_place(pod)} was deleted and killed"
        return Termination(cause=Cause.DISRUPTED, message=text)
    if disruption is not None and report.cause in _EXPLAINED_BY_DISRUPTION:
        text = _disruption_text(pod, disruption)
        return report.model_copy(update={"cause": Cause.DISRUPTED, "message": text})
    return report


def _disruption_text(pod: Manifest, disruption: dict[str, Any]) -> str:
    reason = disruption.get("reason", "DisruptionTarget")
    return f"{_place(pod)}: {reason}: {disruption.get('message', '')}"


def _place(pod: Manifest) -> str:
    return f"pod {pod['metadata']['name']} on {children.node_of(pod)}"


def _of_job(job: Manifest, pods: list[Manifest]) -> Termination:
    """The end as the Job controller tells it, for pods that left nothing to read.

    Its message names a podFailurePolicy rule by index only; our Jobs have one rule a cause. A pod
    that fails by itself stays until its Job goes, so one that failed and is gone was deleted.
    """
    failed = children.condition(job, "Failed") or {}
    message = failed.get("message") or "no pod left a termination message"
    if failed.get("reason") == _POD_FAILED and not any(map(children.has_failed, pods)):
        text = f"a pod was deleted and killed before its end could be read ({message})"
        return Termination(cause=Cause.DISRUPTED, message=text)
    match = _RULE_INDEX.search(message)
    rules = job["spec"].get("podFailurePolicy", {}).get("rules", [])
    if match is None or int(match[1]) >= len(rules):
        return Termination(cause=Cause.UNKNOWN, message=message)
    rule = rules[int(match[1])]
    if rule.get("onPodConditions"):
        return Termination(cause=Cause.DISRUPTED, message=message)
    codes = rule.get("onExitCodes", {}).get("values", [])
    cause = next((_CAUSE_OF_CODE[code] for code in codes if code in _CAUSE_OF_CODE), Cause.UNKNOWN)
    return Termination(cause=cause, message=message)
