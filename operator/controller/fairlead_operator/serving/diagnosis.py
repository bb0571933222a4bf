"""Why the pods of a revision don't serve, in the words of whoever knows it best.

The server's own termination message comes first, then the kubelet's words, then the scheduler's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fairlead_api import termination
from fairlead_api.termination import Cause, Termination
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import children

# Waiting reasons that are a normal start, or that another reason explains better.
_PATIENT: Final = frozenset({"ContainerCreating", "PodInitializing", "CrashLoopBackOff"})
# A server is never done: vLLM ends so when its engine has died.
_ENDED_WELL: Final = (
    "the server ended with exit code 0, as vLLM does when its engine dies or a probe gives it up;"
    " `kubectl logs --previous` has its last words"
)
_MODEL_CAUSES: Final = frozenset({Cause.ARTIFACT_REFUSED, Cause.MODEL_ERROR})


@dataclass(frozen=True)
class Trouble:
    """What keeps pods from serving."""

    reason: str
    message: str
    final: bool = False
    """Whether only the user can mend it."""

    @property
    def of_model(self) -> bool:
        """Whether the model is what is wrong."""
        return self.reason in _MODEL_CAUSES


def trouble(pods: Iterable[Manifest], revision: str) -> Trouble | None:
    """What is wrong with a revision's pods that aren't ready; None where nothing is known."""
    waiting = [
        pod
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
        if children.revision_of(pod) == revision
        and "deletionTimestamp" not in pod["metadata"]
        and not _is_ready(pod)
    ]
    for look in (_ended, _held_back, _unschedulable):
        for pod in waiting:
            found = look(pod)
            if found is not None:
                return found
    return None


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses", [])
    return found


def _ended(pod: Manifest) -> Trouble | None:
    for container in _containers(pod):
        ended = container.get("state", {}).get("terminated")
        ended = ended or container.get("lastState", {}).get("terminated")
        if ended:
            end = termination.of_container(ended)
            if ended.get("exitCode") == 0:
                end = Termination(cause=Cause.CRASHED, message=_ENDED_WELL)
            final = termination.verdict(end.cause) == "user"
            return Trouble(end.cause, f"{_where(pod)}: {end.cause}: {end.message}", final)
    return None


def _held_back(pod: Manifest) -> Trouble | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason", "") not in _PATIENT | {""}:
            reason, words = waiting["reason"], waiting.get("message", "no message")
            return Trouble(reason, f"{_where(pod)}: {reason}: {words}")
    return None


def _unschedulable(pod: Manifest) -> Trouble | None:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason", "Unschedulable")
            return Trouble(reason, f"{_where(pod)}: {reason}: {condition.get('message', '')}")
    return None


def _where(pod: Manifest) -> str:
    return f"pod {pod['metadata']['name']}"
