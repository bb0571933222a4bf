"""Why pods don't run yet, or no longer, in the words of the scheduler or the kubelet."""

from fairlead_operator.finetune import children
from fairlead_operator.plan import Manifest


def words(job: Manifest, pods: list[Manifest]) -> str:
    """The first reason found why the Job's pods don't all run."""
    if job["spec"].get("suspend"):
        return f"Job {job['metadata']['name']} is suspended: it waits in a queue"
    for pod in pods:
        if (text := _of_pod(pod)) is not None:
            return f"pod {pod['metadata']['name']}: {text}"
    missing = job["spec"].get("completions", 1) - len(pods)
    if missing > 0:
        return f"{missing} pods aren't created yet; see the events of {job['metadata']['name']}"
    return "pods are starting"


def _of_pod(pod: Manifest) -> str | None:
    status = pod.get("status", {})
    for entry in status.get("conditions") or []:
        if entry["type"] == "PodScheduled" and entry["status"] == "False":
            return f"{entry.get('reason', 'Unschedulable')}: {entry.get('message', '')}"
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            return f"{waiting.get('reason', 'Waiting')}: {waiting.get('message', '')}".rstrip(": ")
    return None


def end(pods: list[Manifest]) -> str | None:
    """The first end that takes the whole attempt along: no pod is replaced."""
    for pod in pods:
        if pod.get("status", {}).get("phase") == "Failed":
            return f"pod {pod['metadata']['name']} failed"
        if children.is_deleting(pod):
            return f"pod {pod['metadata']['name']} is being deleted"
    return None


def not_ready(pods: list[Manifest]) -> str:
    """The first pod that ran and isn't ready now, and where: mostly its node is what is wrong."""
    pod = next(pod for pod in pods if not children.is_ready(pod))
    return f"pod {pod['metadata']['name']} on {children.node_of(pod)} has begun and is not ready"


def num_ready(pods: list[Manifest]) -> int:
    """Pods that run or ran to their good end."""
    return sum(children.is_ready(pod) for pod in pods)
