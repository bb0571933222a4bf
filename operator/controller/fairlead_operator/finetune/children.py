"""The job's own Jobs and pods, as last seen: selection and reading, no decisions.

Own means: controlled by this resource's uid. Pods are judged by label as well, since a pod
outlives the Job that made it, and one of an earlier resource of the same name still holds the
claims and the host names.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.plan import Manifest, Observed, owned_by

Outcome = Literal["Complete", "Failed"]


@dataclass(frozen=True)
class Children:
    """What was seen of one FineTuneJob's workloads."""

    name: str
    jobs: tuple[Manifest, ...]
    """Own Jobs of every stage and attempt."""
    pods: tuple[Manifest, ...]
    """Every pod that carries the job's name, whoever made it."""
    leftovers: tuple[Manifest, ...] = ()
    """What an earlier job of this name has left, until the garbage collector takes it."""

    @classmethod
    def of(cls, job: FineTuneJob, observed: Observed) -> Self:
        """Select the job's children from what was observed."""
        return cls(
            name=job.metadata.name,
            jobs=tuple(child for child in observed.jobs if owned_by(child, job.metadata.uid)),
            pods=tuple(
                pod
                for pod in observed.pods
                if label(pod, names.LABEL_FINETUNEJOB) == job.metadata.name
            ),
            leftovers=observed.leftovers,
        )

    def attempt(self, stage: Stage, number: int) -> Manifest | None:
        """The Job of one attempt of one stage, where it exists."""
        name = names.stage_job_name(self.name, stage, number)
        return next((job for job in self.jobs if job["metadata"]["name"] == name), None)

    def pods_of(self, job: Manifest) -> list[Manifest]:
        """The pods that a Job made, in order of name."""
        own = [pod for pod in self.pods if owned_by(pod, job["metadata"]["uid"])]
        return sorted(own, key=lambda pod: str(pod["metadata"]["name"]))

    @property
    def unfinished_jobs(self) -> list[Manifest]:
        """Own Jobs that may still run or make pods."""
        return [job for job in self.jobs if outcome(job) is None]

    @property
    def must_drain(self) -> bool:
        """Whether something still holds what a new attempt needs: compute, claims or names."""
        return bool(self.unfinished_pods or self.unfinished_jobs or self.leftovers)

    @property
    def unfinished_pods(self) -> list[Manifest]:
        """Pods of the job's name whose containers may still run, in order of name."""
        alive = [pod for pod in self.pods if not is_finished(pod)]
        return sorted(alive, key=lambda pod: str(pod["metadata"]["name"]))


def label(manifest: Manifest, key: str) -> str:
    """A label's value; empty where it is absent."""
    return str(manifest["metadata"].get("labels", {}).get(key, ""))


def condition(manifest: Manifest, type_: str) -> dict[str, Any] | None:
    """The True condition of a type in a built-in object's status."""
    conditions = manifest.get("status", {}).get("conditions") or []
    found = (entry for entry in conditions if entry["type"] == type_ and entry["status"] == "True")
    return next(found, None)


def outcome(job: Manifest) -> Outcome | None:
    """How a Job ended; None while it hasn't (Kubernetes says so when every pod has ended)."""
    if condition(job, "Complete"):
        return "Complete"
    return "Failed" if condition(job, "Failed") else None


def is_deleting(manifest: Manifest) -> bool:
    """Whether the object is on its way out."""
    return bool(manifest["metadata"].get("deletionTimestamp"))


def node_of(pod: Manifest) -> str:
    """The name of the pod's node, for messages."""
    return pod.get("spec", {}).get("nodeName") or "no node"


def is_finished(pod: Manifest) -> bool:
    """Whether no container of the pod runs or will run."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def has_failed(pod: Manifest) -> bool:
    """Whether the pod's containers have ended, and not all of them well."""
    return bool(pod.get("status", {}).get("phase") == "Failed")


def container_state(pod: Manifest) -> dict[str, Any]:
    """The state of the trainer's container; empty where the kubelet hasn't told one."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    states = (s.get("state") or {} for s in statuses if s["name"] == names.TRAINER_CONTAINER)
    return next(states, {})


def has_begun(pod: Manifest) -> bool:
    """Whether the trainer was started; a pod is never started twice."""
    return not container_state(pod).keys().isdisjoint(("running", "terminated"))


def is_ready(pod: Manifest) -> bool:
    """Whether the pod runs, or ran to its good end."""
    # The kubelet tells of the container's end before it tells of the pod's.
    has_succeeded = container_state(pod).get("terminated", {}).get("exitCode") == 0
    succeeded = has_succeeded or pod.get("status", {}).get("phase") == "Succeeded"
    return succeeded or (condition(pod, "Ready") is not None and not is_deleting(pod))


def created_at(manifest: Manifest) -> datetime:
    """When the API server accepted the object."""
    return datetime.fromisoformat(manifest["metadata"]["creationTimestamp"])
