"""Renders the namespace of one run: its claim, its accounts and the chart's rights in it.

Pure data. Roles that name no namespace are made once a lab; what belongs to a namespace but lies
outside of it (the volume, the cluster-wide binding) is owned by it and goes with it.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Final

from fairlead_chaos import ground
from fairlead_chaos.admin import NAMESPACE
from fairlead_chaos.scenario import Manifest

CLAIM: Final = "work"
"""Bound, for one node at a time, in each run's namespace from its beginning."""
PLACEHOLDER: Final = "fairlead-chaos-namespace"
"""Stands for a run's namespace in what is written down before there is one."""
_CAPACITY: Final = {"storage": "1Gi"}


def namespace(name: str, lab: str, node: str) -> Manifest:
    """The namespace of a run, whose pods go to that node."""
    labels = {ground.LABEL_LAB: lab, ground.LABEL_NODE: node}
    return {
        "apiVersion": NAMESPACE.api_version,
        "kind": NAMESPACE.kind,
        "metadata": {"name": name, "labels": labels},
    }


def volume(owner: Manifest, name: str = CLAIM, mode: str = "ReadWriteOnce") -> Manifest:
    """The volume for a claim of that name; no pod ever reads it."""
    namespace = owner["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}", "ownerReferences": [_owned_by(owner)]},
        "spec": {
            "capacity": _CAPACITY,
            "accessModes": [mode],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": name},
            "hostPath": {"path": f"/nonexistent/{namespace}/{name}"},
        },
    }


def claim(owner: Manifest, name: str = CLAIM, mode: str = "ReadWriteOnce") -> Manifest:
    """A claim that is bound to ``volume`` of the same name and mode: pods need it bound."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": [mode],
            "resources": {"requests": _CAPACITY},
            "storageClassName": "",
            "volumeName": f"{owner['metadata']['name']}-{name}",
        },
    }


def default_account() -> Manifest:
    """Made by the harness itself: pods that come before it are refused."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}


def roles(rbac: Sequence[Manifest], lab: str) -> list[Manifest]:
    """The chart's ClusterRoles, for all the namespaces of a lab."""
    found = []
    for manifest in rbac:
        if manifest["kind"] == "ClusterRole":
            role = _renamed(manifest, f"chaos-{lab}")
            role["metadata"]["labels"] = {ground.LABEL_LAB: lab}
            found.append(role)
    return found


def rights(rbac: Sequence[Manifest], lab: str, owner: Manifest) -> list[Manifest]:
    """The chart's account, Roles and bindings of an operator in this namespace."""
    found = []
    for manifest in rbac:
        if manifest["kind"] == "ClusterRole":
            continue
        mine = _renamed(manifest, owner["metadata"]["name"])
        if mine.get("roleRef", {}).get("kind") == "ClusterRole":
            mine["roleRef"] = _renamed(manifest["roleRef"], f"chaos-{lab}")
        if mine["kind"] == "ClusterRoleBinding":
            mine["metadata"]["ownerReferences"] = [_owned_by(owner)]
        found.append(mine)
    return found


def kubeconfig(url: str, token: str) -> str:
    """A kubeconfig of an account that asks without TLS."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "run",
            "contexts": [{"name": "run", "context": {"cluster": "run", "user": "run"}}],
            "clusters": [{"name": "run", "cluster": {"server": url}}],
            "users": [{"name": "run", "user": {"token": token}}],
        }
    )


def environment(namespace: str, more: Mapping[str, str]) -> dict[str, str]:
    """The FAIRLEAD_ variables of a run's operator.

    All but the namespaces are the same in every run, since they get into what the operator writes.
    Port 0 lets the kernel draw one. In values ``PLACEHOLDER`` is the namespace.
    """
    return {
        "FAIRLEAD_NAMESPACE": namespace,
        "FAIRLEAD_WATCH_NAMESPACES": namespace,
        "FAIRLEAD_POD_NAME": "fairlead-operator-0",
        "FAIRLEAD_LEASE_NAME": "fairlead-operator",
        "FAIRLEAD_CERTIFICATE_SECRET": "fairlead-operator-certificate",
        "FAIRLEAD_PROGRESS_URL": "https://fairlead-operator:8443",
        "FAIRLEAD_TRAINER_IMAGE": "localhost/fairlead-trainer:1",
        "FAIRLEAD_SERVER_IMAGE": "localhost/fairlead-server:1",
        "FAIRLEAD_METRICS_PORT": "0",
        "FAIRLEAD_PROBES_PORT": "0",
        "FAIRLEAD_PROGRESS_PORT": "0",
        **{name: value.replace(PLACEHOLDER, namespace) for name, value in more.items()},
    }


def _renamed(manifest: Manifest, name: str) -> Manifest:
    """A copy that belongs to this namespace in the placeholder's stead."""
    text = json.dumps(copy.deepcopy(manifest)).replace(PLACEHOLDER, name)
    found: Manifest = json.loads(text)
    return found


def _owned_by(owner: Manifest) -> Manifest:
    head = owner["metadata"]
    return {
        "apiVersion": NAMESPACE.api_version,
        "kind": NAMESPACE.kind,
        "name": head["name"],
        "uid": head["uid"],
    }
