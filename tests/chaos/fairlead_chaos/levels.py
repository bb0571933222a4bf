"""Whether Kubernetes' own controllers have counted what stands, as their statuses tell.

Pure. They write what they count some time after it became so (the Job controller takes a second's
news of pods together), later on a busy machine: where a run ended is read after that.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fairlead_chaos.snapshot import REPLICA_SET
from fairlead_operator import kube
from fairlead_operator.plan import Manifest, controller

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_OF_REPLICA_SETS: Final = (
    "replicas", "readyReplicas", "availableReplicas", "terminatingReplicas",
)  # fmt: skip
"""What a Deployment adds up."""


def lags(found: Iterable[Manifest]) -> bool:
    """Whether a controller has still to count the pods, or to see the spec, of some object.

    No pod is on its way out any more: ``snapshot.is_moving`` tells of those.
    """
    found = list(found)
    owned = defaultdict(list)
    for one in found:
        owned[controller(one).get("uid"), one["kind"]].append(one)
    return any(_lags(one, owned) for one in found)


def _lags(one: Manifest, owned: dict[tuple[Any, str], list[Manifest]]) -> bool:
    head, status = kube.metadata(one), one.get("status") or {}
    pods = [pod for pod in owned.get((head["uid"], kube.POD.kind), ()) if _is_active(pod)]
    if one["kind"] == kube.JOB.kind:
        return _job_lags(one, pods)
    if one["kind"] not in (kube.DEPLOYMENT.kind, REPLICA_SET.kind):
        return False
    if status.get("observedGeneration", 0) < head["generation"]:
        return True
    if one["kind"] == REPLICA_SET.kind:
        num_ready = _num_ready(pods)
        counts = {"replicas": len(pods), "readyReplicas": num_ready, "terminatingReplicas": 0}
        return _differ(status, counts | {"availableReplicas": num_ready})
    sets = [each.get("status") or {} for each in owned.get((head["uid"], REPLICA_SET.kind), ())]
    return _differ(status, {key: sum(s.get(key, 0) for s in sets) for key in _OF_REPLICA_SETS})


def _job_lags(job: Manifest, pods: Sequence[Manifest]) -> bool:
    status = job.get("status") or {}
    if {"Complete", "Failed"} & {*_true(status)}:
        return False  # it said so after it had counted all
    counts = {"active": len(pods), "ready": _num_ready(pods), "terminating": 0}
    is_to_wait = bool((job.get("spec") or {}).get("suspend"))
    uncounted = (status.get("uncountedTerminatedPods") or {}).values()
    return _differ(status, counts) or any(uncounted) or is_to_wait != ("Suspended" in _true(status))


def _differ(status: Manifest, counts: dict[str, int]) -> bool:
    return any(status.get(key, 0) != count for key, count in counts.items())


def _is_active(pod: Manifest) -> bool:
    is_ended = (pod.get("status") or {}).get("phase") in _ENDED
    return not is_ended and not kube.metadata(pod).get("deletionTimestamp")


def _num_ready(pods: Sequence[Manifest]) -> int:
    return sum("Ready" in _true(pod.get("status") or {}) for pod in pods)


def _true(status: Manifest) -> list[str]:
    """The types of the conditions that hold."""
    conditions = status.get("conditions") or []
    return [one["type"] for one in conditions if one["status"] == "True"]
