"""The batch/v1 Job of one attempt of one stage: what all stages have in common.

One attempt is one Job and no pod is ever replaced: retries are new attempts, counted by
``stages``, so that a cause is judged once and the attempt's number can fence its writes.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import EXIT_CODES, Cause
from fairlead_operator.finetune import owner, volumes
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest

_USER: Final = 65532  # the images' user; also the server's, who must read what we write
_EXTRA_CODES: Final = {Cause.DISRUPTED: [143]}  # SIGTERM before our launcher could answer


@dataclass(frozen=True)
class StagePod:
    """Where one stage's pod differs from the others'."""

    stage: Stage
    resources: dict[str, dict[str, str]]
    num_pods: int = 1
    environment: tuple[dict[str, Any], ...] = ()
    more_volumes: tuple[volumes.Volume, ...] = ()
    """Volumes beyond those that every stage has."""
    tolerations: tuple[dict[str, str], ...] = ()
    grace_seconds: int = 30
    """Time between SIGTERM and SIGKILL."""
    spec: dict[str, Any] = field(default_factory=dict)
    """Further fields of the pod's spec."""


def stage_job(job: FineTuneJob, attempt: int, pod: StagePod, options: Options) -> Manifest:
    """Build the Job of an attempt."""
    marks = {names.LABEL_STAGE: pod.stage.lower(), names.LABEL_ATTEMPT: str(attempt)}
    name = names.stage_job_name(job.metadata.name, pod.stage, attempt)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owner.metadata(job, name, marks),
        "spec": {
            "completionMode": "Indexed",
            "completions": pod.num_pods,
            "parallelism": pod.num_pods,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": failure_rules()},
            "template": {
                "metadata": {
                    "labels": owner.labels(job) | marks,
                    "annotations": {names.SAFE_TO_EVICT: "false"},
                },
                "spec": _pod_spec(job, attempt, pod, options),
            },
        },
    }


def failure_rules() -> list[dict[str, Any]]:
    """One rule a cause: the Job's message names the rule that matched, so also the cause.

    Every rule fails the Job; they are there for what they tell once the pods are gone.
    """
    disruption = {"type": "DisruptionTarget", "status": "True"}
    rules: list[dict[str, Any]] = [{"action": "FailJob", "onPodConditions": [disruption]}]
    for cause, code in EXIT_CODES.items():
        if code <= 1:  # success, and the exit code that says nothing
            continue
        codes = [code, *_EXTRA_CODES.get(cause, [])]
        match = {"containerName": names.TRAINER_CONTAINER, "operator": "In", "values": codes}
        rules.append({"action": "FailJob", "onExitCodes": match})
    return rules


def _pod_spec(job: FineTuneJob, attempt: int, pod: StagePod, options: Options) -> dict[str, Any]:
    mounted = [*volumes.of_stage(job, pod.stage), *pod.more_volumes]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pod.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            # A claim full of checkpoints isn't walked through at every start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(attempt, pod, mounted, options)],
        "volumes": [volume.as_volume() for volume in mounted],
    }
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if pod.tolerations:
        spec["tolerations"] = list(pod.tolerations)
    return spec | pod.spec


def _container(
    attempt: int, pod: StagePod, mounted: list[volumes.Volume], options: Options
) -> dict[str, Any]:
    return {
        "name": names.TRAINER_CONTAINER,
        "image": options.trainer_image,
        "imagePullPolicy": options.image_pull_policy,
        "command": ["python", "-m", "fairlead_trainer"],
        "args": [pod.stage.lower()],
        "env": [*_environment(attempt, pod), *pod.environment],
        "resources": pod.resources,
        # A crash before our launcher runs leaves no message: then the log's end is the message.
        "terminationMessagePath": names.TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [volume.as_mount() for volume in mounted],
    }


def _environment(attempt: int, pod: StagePod) -> list[dict[str, Any]]:
    """Environment of every stage; caches lie in scratch since the root is read-only."""
    has_gpu = names.GPU_RESOURCE in pod.resources.get("limits", {})
    return [
        variable(names.ENV_ATTEMPT, attempt),
        from_pod(names.ENV_POD_UID, "metadata.uid"),
        variable("HOME", names.SCRATCH_DIR),
        variable("TORCHINDUCTOR_CACHE_DIR", f"{names.SCRATCH_DIR}/torchinductor"),
        variable("TRITON_CACHE_DIR", f"{names.SCRATCH_DIR}/triton"),
        *([] if has_gpu else [variable("DS_ACCELERATOR", "cpu")]),
    ]


def variable(name: str, value: object) -> dict[str, str]:
    """One entry of a container's ``env``."""
    return {"name": name, "value": str(value)}


def from_pod(name: str, path: str) -> dict[str, Any]:
    """An entry of ``env`` that the kubelet fills from the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
