"""A ModelService's Deployments, pods, routes and jobs as controllers and users leave them.

Pure: each function takes an object and gives the object after one change, and remembers it.
"""

import functools
import json
from collections.abc import Callable
from typing import Any, Final

from fairlead_api import names
from fairlead_api.termination import EXIT_CODES, Cause, Termination
from fairlead_model.objects import PAST_TEXT, Obj, edited, stored
from fairlead_operator.plan import Manifest

DIGEST: Final = "sha256:" + "a" * 64
PROVEN: Final = "NewReplicaSetAvailable"
OVERDUE: Final = "ProgressDeadlineExceeded"
NAME: Final = "svc"
JOB: Final = "teach"
NAMESPACE: Final = "team"


# --- Deployments -----------------------------------------------------------------------------
def status_of(deployment: Obj) -> Manifest:
    """What the Deployment controller said; empty before it looked."""
    status: Manifest = deployment.manifest.get("status", {})
    return status


def is_observed(deployment: Obj) -> bool:
    """Whether the Deployment controller has looked at the spec as it is."""
    head = deployment.manifest["metadata"]
    return bool(status_of(deployment).get("observedGeneration", 0) == head["generation"])


def reason(deployment: Obj) -> str:
    """Reason of the condition Progressing."""
    found = status_of(deployment).get("conditions") or [{"reason": ""}]
    return str(found[0]["reason"])


def replicas(deployment: Obj) -> int:
    """Pods that the spec asks for."""
    return int(deployment.manifest["spec"]["replicas"])


def revision_of(obj: Obj) -> str:
    """The revision that an object belongs to; empty where it belongs to none."""
    labels = obj.manifest["metadata"].get("labels") or {}
    return str(labels.get(names.LABEL_REVISION, ""))


@functools.cache
def observed(deployment: Obj) -> Obj:
    """The Deployment after its controller has looked at a new spec."""

    def change(manifest: Manifest) -> None:
        status, wanted = manifest.setdefault("status", {}), manifest["spec"]["replicas"]
        template = json.dumps(manifest["spec"]["template"], sort_keys=True)
        is_other = status.get("template") != hash_of(template)
        status["template"] = hash_of(template)
        status["observedGeneration"] = manifest["metadata"]["generation"]
        status["replicas"] = wanted
        for count in ("readyReplicas", "availableReplicas"):
            status[count] = min(status.get(count, 0), wanted)
        if is_other:
            _progress(status, "ReplicaSetUpdated")
        if status["availableReplicas"] == wanted:
            _progress(status, PROVEN)

    return edited(deployment, change)


@functools.lru_cache
def hash_of(text: str) -> str:
    """A pod template's hash, as the Deployment controller labels ReplicaSets with."""
    number = 0
    for char in text:
        number = (number * 31 + ord(char)) % 1_000_000_007
    return str(number)


@functools.cache
def one_ready(deployment: Obj) -> Obj:
    """One more pod is ready."""
    return _counted(deployment, ready=1)


@functools.cache
def one_broken(deployment: Obj) -> Obj:
    """One pod fewer is ready."""
    return _counted(deployment, ready=-1)


def _counted(deployment: Obj, ready: int) -> Obj:
    def change(manifest: Manifest) -> None:
        status = manifest["status"]
        status["readyReplicas"] += ready
        status["availableReplicas"] = min(status["availableReplicas"], status["readyReplicas"])

    return edited(deployment, change)


@functools.cache
def available(deployment: Obj) -> Obj:
    """What is ready has been so for long enough."""

    def change(manifest: Manifest) -> None:
        status = manifest["status"]
        status["availableReplicas"] = status["readyReplicas"]
        if status["availableReplicas"] == manifest["spec"]["replicas"]:
            _progress(status, PROVEN)

    return edited(deployment, change)


@functools.cache
def overdue(deployment: Obj) -> Obj:
    """The progress deadline has passed."""
    return edited(deployment, lambda manifest: _progress(manifest["status"], OVERDUE))


def _progress(status: Manifest, why: str) -> None:
    status["conditions"] = [{"type": "Progressing", "status": str(why != OVERDUE), "reason": why}]


@functools.cache
def broken_pod(deployment: Obj, cause: Cause) -> Obj:
    """A pod of a Deployment whose server has ended, with the message that it leaves."""
    said = Termination.model_validate({"cause": cause, "message": f"{cause} it is"})
    ended = {"exitCode": EXIT_CODES[cause], "message": said.to_message()}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": deployment.uid}
    head = {
        "name": f"{deployment.name}-x",
        "namespace": NAMESPACE,
        "uid": f"pod-of-{deployment.uid}",
        "labels": dict(deployment.manifest["metadata"]["labels"]),
        "ownerReferences": [owner | {"controller": True}],
        "creationTimestamp": PAST_TEXT,
    }
    container = {"name": "server", "state": {"terminated": ended}}
    status = {"phase": "Running", "conditions": [], "containerStatuses": [container]}
    return stored({"apiVersion": "v1", "kind": "Pod", "metadata": head, "status": status})


# --- what others do to children --------------------------------------------------------------
def _of_spec(change: Callable[[Manifest], None]) -> Callable[[Obj], Obj]:
    """An edit of a child's spec, which raises its generation."""

    @functools.cache
    def edit(obj: Obj) -> Obj:
        def both(manifest: Manifest) -> None:
            change(manifest["spec"])
            manifest["metadata"]["generation"] += 1

        return edited(obj, both)

    return edit


def _container(spec: Manifest) -> Manifest:
    container: Manifest = spec["template"]["spec"]["containers"][0]
    return container


MEDDLING: Final[dict[tuple[str, str], Callable[[Obj], Obj]]] = {
    ("Deployment", "scales"): _of_spec(lambda spec: spec.update(replicas=3)),
    ("Deployment", "changes the image"): _of_spec(
        lambda spec: _container(spec).update(image="other:1")
    ),
    ("Deployment", "adds a variable"): _of_spec(
        lambda spec: _container(spec)["env"].append({"name": "THEIRS", "value": "1"})
    ),
    ("Service", "selects otherwise"): _of_spec(
        lambda spec: spec["selector"].update({names.LABEL_REVISION: "theirs"})
    ),
    ("Service", "adds a port"): _of_spec(
        lambda spec: spec["ports"].append({"name": "more", "port": 81, "protocol": "TCP"})
    ),
    ("HTTPRoute", "leads elsewhere"): _of_spec(
        lambda spec: spec["rules"][0]["backendRefs"][0].update(name="theirs")
    ),
}
"""Kind of child and what somebody else does to it."""


# --- routes ----------------------------------------------------------------------------------
@functools.cache
def answered(route: Obj, accepts: bool) -> Obj:
    """The route after its gateways' controller has spoken of it as it is."""

    def change(manifest: Manifest) -> None:
        spoken = {
            "status": str(accepts),
            "reason": "Accepted" if accepts else "NotAllowed",
            "observedGeneration": manifest["metadata"]["generation"],
        }
        conditions = [{"type": type_} | spoken for type_ in ("Accepted", "ResolvedRefs")]
        parents = manifest["spec"]["parentRefs"]
        told = [{"parentRef": parent, "conditions": conditions} for parent in parents]
        manifest["status"] = {"parents": told}

    return edited(route, change)


@functools.cache
def unanswered(route: Obj) -> Obj:
    """The route after the controller took its word back, as it does when its Gateway goes."""
    return edited(route, lambda manifest: manifest.pop("status", None))


# --- FineTuneJobs ----------------------------------------------------------------------------
@functools.cache
def job(number: int, phase: str) -> Obj:
    """The FineTuneJob that the service may name, made for the ``number``-th time."""
    uid = f"uid-{JOB}-{number}"
    status: dict[str, Any] = {"phase": phase, "conditions": []}
    if phase in ("Complete", "Failed"):
        condition = {"type": phase, "status": "True", "reason": phase, "message": ""}
        status["conditions"] = [condition | {"lastTransitionTime": PAST_TEXT}]
    if phase == "Complete":
        status["artifact"] = {
            "uri": f"pvc://models/{JOB}/{uid}/artifact",
            "digest": DIGEST,
            "sizeBytes": 7,
            "kind": "Model",
            "baseModel": "pvc://models/base",
            "datasetDigest": "",
        }
    head = {"name": JOB, "namespace": NAMESPACE, "uid": uid, "generation": 1}
    spec = {
        "model": {"uri": "pvc://models/base"},
        "datasets": [{"name": "rows", "inline": '{"text":"x"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "models"},
    }
    body = {"apiVersion": names.API_VERSION, "kind": names.FINETUNEJOB, "metadata": head}
    return stored(body | {"spec": spec, "status": status})


# --- ModelServices ---------------------------------------------------------------------------
@functools.cache
def with_spec(service: Obj, text: str) -> Obj:
    """The service after a user has applied these fields (JSON) over its spec."""
    changes = json.loads(text)

    def change(manifest: Manifest) -> None:
        spec = {key: value for key, value in (manifest["spec"] | changes).items()}
        manifest["spec"] = {key: value for key, value in spec.items() if value is not None}
        manifest["metadata"]["generation"] += 1

    return edited(service, change)


@functools.cache
def foreign(kind: str, name: str) -> Obj:
    """Somebody else's object of a child's name."""
    version = {"Deployment": "apps/v1"}.get(kind, "v1")
    head = {"name": name, "namespace": NAMESPACE, "uid": "foreign"}
    return stored({"apiVersion": version, "kind": kind, "metadata": head, "spec": {}})


def is_foreign(obj: Obj) -> bool:
    """Whether somebody else made the object."""
    return obj.uid == "foreign"
