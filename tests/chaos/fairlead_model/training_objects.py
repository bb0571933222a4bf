"""A FineTuneJob's Jobs and pods as the Job controller, the kubelet and users leave them.

Pure: each function takes an object and gives the object after one change, and remembers it.
"""

import functools
import re
from typing import Any, Final

from fairlead_api import names
from fairlead_api.termination import EXIT_CODES, Cause, Termination
from fairlead_model.objects import PAST_TEXT, Obj, edited, stored
from fairlead_operator.plan import Manifest

NAME: Final = "job"
STAGES: Final = ("prepare", "train", "export")
DIGEST: Final = "sha256:" + "a" * 64
_PAYLOADS: Final[dict[str, dict[str, Any]]] = {
    "prepare": {"prepared": {"digest": DIGEST, "num_rows": 3, "format": "Text"}},
    "train": {"training": {"step": 9, "loss": 0.5, "world_size": 2, "checkpoint": "c/9"}},
    "export": {
        "artifact": {
            "uri": "pvc://store/out",
            "digest": DIGEST,
            "size_bytes": 7,
            "kind": "Model",
            "base_model": "pvc://store/base",
            "dataset_digest": DIGEST,
        }
    },
}
_LAST_ATTEMPT: Final = re.compile(r"-(prepare|train|export)-a(\d+)$")


def stage_of(resource: Obj, name: str) -> Manifest:
    """What a FineTuneJob's status says of a stage; empty where it says nothing."""
    stages = resource.manifest.get("status", {}).get("stages") or []
    return next((stage for stage in stages if stage["name"].lower() == name), {})


def uncounted(resource: Obj) -> dict[str, Manifest]:
    """The stages whose newest attempt's end isn't counted, by the name of its Job."""
    stages = resource.manifest.get("status", {}).get("stages") or []
    return {
        names.stage_job_name(NAME, stage["name"], stage["attempt"]): stage
        for stage in stages
        if stage.get("attempt", 0) > stage.get("countedAttempt", 0)
    }


def num_ended(job: Obj) -> int:
    """Pods of which the Job tells that they have ended."""
    status = job.manifest.get("status", {})
    return int(status.get("succeeded", 0) + status.get("failed", 0))


def tells_result(pod: Obj) -> bool:
    """Whether the pod has ended well, with a termination message."""
    told = pod.manifest["status"].get("containerStatuses") or []
    return phase_of(pod) == "Succeeded" and any(
        each["state"].get("terminated", {}).get("message") for each in told
    )


def was_seen(resource: Obj, stage: str, number: int) -> bool:
    """Whether the status tells that an attempt's Job was seen to be there."""
    stands = stage_of(resource, stage)
    return bool(stands.get("countedAttempt", 0) >= number or stands.get("state") == "Running")


def attempt_of(job: Obj) -> tuple[str, int]:
    """Stage and number of the attempt that a Job is, by its name."""
    match = _LAST_ATTEMPT.search(job.name)
    assert match is not None
    return match[1], int(match[2])


@functools.cache
def job_ended(job: Obj) -> bool:
    """Whether the Job's end stands in its status."""
    return has(job, "Complete") or has(job, "Failed")


@functools.cache
def pod_ended(pod: Obj) -> bool:
    """Whether no container of the pod runs or will run."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_foreign(obj: Obj) -> bool:
    """Whether somebody else made the object."""
    return obj.uid == "foreign"


def phase_of(pod: Obj) -> str:
    return str(pod.manifest["status"]["phase"])


def is_deleting(obj: Obj) -> bool:
    return "deletionTimestamp" in obj.manifest["metadata"]


def has(obj: Obj, type_: str) -> bool:
    found = obj.manifest.get("status", {}).get("conditions") or []
    return any(entry["type"] == type_ and entry["status"] == "True" for entry in found)


def foreign(kind: str, name: str) -> Obj:
    version = "batch/v1" if kind == "Job" else "v1"
    head = {"name": name, "namespace": "team", "uid": "foreign"}
    ended = {"conditions": [{"type": "Complete", "status": "True"}]} if kind == "Job" else {}
    return stored({"apiVersion": version, "kind": kind, "metadata": head, "status": ended})


@functools.cache
def deleted(obj: Obj) -> Obj:
    def change(manifest: Manifest) -> None:
        manifest["metadata"]["deletionTimestamp"] = PAST_TEXT

    return edited(obj, change)


@functools.cache
def toggled(job: Obj) -> Obj:
    def change(manifest: Manifest) -> None:
        manifest["spec"]["suspend"] = not manifest["spec"]["suspend"]
        manifest["metadata"]["generation"] += 1

    return edited(job, change)


@functools.cache
def pod_of(job: Obj, name: str, uid: str) -> Obj:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": job.uid}
    head = {
        "name": name,
        "namespace": "team",
        "uid": uid,
        "labels": dict(job.manifest["metadata"]["labels"]),
        "ownerReferences": [owner | {"controller": True}],
        "creationTimestamp": PAST_TEXT,
    }
    spec, status = {"nodeName": "node-1"}, {"phase": "Pending"}
    return stored(
        {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec, "status": status}
    )


@functools.cache
def running(pod: Obj) -> Obj:
    return _with_status(pod, "Running", {"running": {}}, {"type": "Ready", "status": "True"})


@functools.cache
def unready(pod: Obj) -> Obj:
    return _with_status(pod, "Running", {"running": {}}, {"type": "Ready", "status": "False"})


@functools.cache
def ended(pod: Obj, cause: Cause, is_mute: bool = False) -> Obj:
    """The pod at the end of its container, with the message that our trainer leaves."""
    stage = pod.manifest["metadata"]["labels"][names.LABEL_STAGE]
    payload = _PAYLOADS[stage] if cause is Cause.SUCCEEDED else {}
    said = Termination.model_validate({"cause": cause, "message": f"{cause} it is", **payload})
    code = 137 if is_mute and cause is Cause.UNKNOWN else EXIT_CODES[cause]
    state = {"terminated": {"exitCode": code, "message": "" if is_mute else said.to_message()}}
    return _with_status(pod, "Succeeded" if cause is Cause.SUCCEEDED else "Failed", state)


@functools.cache
def stopped(pod: Obj) -> Obj:
    """The pod after its SIGTERM, which our launcher answers; one that never ran just fails."""
    if phase_of(pod) == "Running":
        return ended(pod, Cause.DISRUPTED)
    return _with_status(pod, "Failed", None)


_DISRUPTION: Final = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByNode"}


@functools.cache
def disrupted(pod: Obj) -> Obj:
    def change(manifest: Manifest) -> None:
        manifest["status"].setdefault("conditions", []).append(_DISRUPTION)

    return deleted(edited(pod, change))


@functools.cache
def lost(pod: Obj) -> Obj:
    """The pod as the pod garbage collector leaves it when its node is gone."""
    gone = _with_status(pod, "Failed", None)
    return disrupted(gone)


def _with_status(pod: Obj, phase: str, container: Manifest | None, *fresh: Manifest) -> Obj:
    def change(manifest: Manifest) -> None:
        kept = manifest["status"].get("conditions", [])
        conditions = [entry for entry in kept if entry["type"] != "Ready"]
        manifest["status"] = {"phase": phase, "conditions": [*conditions, *fresh]}
        if container is not None:
            told = {"name": names.TRAINER_CONTAINER, "state": container}
            manifest["status"]["containerStatuses"] = [told]

    return edited(pod, change)


@functools.cache
def completed(job: Obj) -> Obj:
    done = {"succeeded": job.manifest["spec"]["completions"]}
    return _with_condition(job, {"type": "Complete", "status": "True"}, done)


@functools.cache
def targeted(job: Obj, pod: Obj, num_failed: int) -> Obj:
    """The Job that fails because of a pod, with the words of the rule that matched."""
    said = {"reason": "BackoffLimitExceeded", "message": "Job has reached the backoff limit"}
    rule = _rule(job, pod)
    if rule is not None:
        text = f"Container trainer for pod team/{pod.name} failed matching FailJob rule at index"
        said = {"reason": "PodFailurePolicy", "message": f"{text} {rule}"}
    target = {"type": "FailureTarget", "status": "True", **said}
    return _with_condition(job, target, {"failed": num_failed})


def _rule(job: Obj, pod: Obj) -> int | None:
    """Index of the first rule of the podFailurePolicy that matches the pod."""
    told = pod.manifest["status"].get("containerStatuses", [])
    codes = [each["state"]["terminated"]["exitCode"] for each in told]
    for index, rule in enumerate(job.manifest["spec"]["podFailurePolicy"]["rules"]):
        if "onPodConditions" in rule and has(pod, "DisruptionTarget"):
            return index
        if not {*codes}.isdisjoint(rule.get("onExitCodes", {}).get("values", [])):
            return index
    return None


@functools.cache
def failed(job: Obj, num_pods: int) -> Obj:
    """The Job at its end; pods that are gone by now were counted before."""
    target, before = job.manifest["status"]["conditions"][-1], job.manifest["status"]["failed"]
    return _with_condition(job, target | {"type": "Failed"}, {"failed": max(before, num_pods)})


def _with_condition(job: Obj, condition: Manifest, counts: Manifest) -> Obj:
    def change(manifest: Manifest) -> None:
        status = manifest.setdefault("status", {})
        status.update(counts)
        status["conditions"] = [*status.get("conditions", []), condition]

    return edited(job, change)
