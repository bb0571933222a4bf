"""Renders what a lab puts into the cluster for all of its runs: nodes and the policy on pods.

Pure data. Everything bears the lab's name in ``LABEL_LAB``, so that what a dead lab left is known.
The nodes are tainted, or pods of other tests would be scheduled on them: a policy lets the pods
of the lab's own namespaces tolerate that, and sends those of each namespace to its own node.
"""

from typing import Final

from fairlead_api import names
from fairlead_chaos import admin
from fairlead_chaos.scenario import Manifest

LABEL_LAB: Final = f"{names.GROUP}/chaos-lab"  # name of the lab's process
LABEL_NODE: Final = f"{names.GROUP}/chaos-node"  # namespace: the node of its pods
TAINT: Final = f"{names.GROUP}/chaos"
LOST: Final = f"{names.GROUP}/chaos-lost"  # taint of a node that a scenario takes away
HOSTNAME: Final = "kubernetes.io/hostname"
_SIZE: Final = {
    "cpu": "100k",
    "memory": "1Pi",
    "ephemeral-storage": "1Pi",
    "pods": "10k",
    names.GPU_RESOURCE: "100k",
}
_GRACE_SECONDS: Final = 1
"""No kubelet lets these pods drain, but a namespace's end waits half as long as they might."""
_TOLERATION: Final = (
    f'Object.spec.tolerations{{key: "{TAINT}", operator: "Exists", effect: "NoSchedule"}}'
)
_OWN_NODE: Final = f'namespaceObject.metadata.labels["{LABEL_NODE}"]'
_PATCHES: Final = f"""
(has(object.spec.tolerations)
  ? [JSONPatch{{op: "add", path: "/spec/tolerations/-", value: {_TOLERATION}}}]
  : [JSONPatch{{op: "add", path: "/spec/tolerations", value: [{_TOLERATION}]}}])
+ (has(object.spec.nodeSelector)
  ? [JSONPatch{{op: "add", path: "/spec/nodeSelector/kubernetes.io~1hostname",
      value: {_OWN_NODE}}}]
  : [JSONPatch{{op: "add", path: "/spec/nodeSelector", value: {{"{HOSTNAME}": {_OWN_NODE}}}}}])
+ [JSONPatch{{op: "add", path: "/spec/terminationGracePeriodSeconds", value: {_GRACE_SECONDS}}}]
"""


def node_names(lab: str, num_nodes: int) -> list[str]:
    """Names of a lab's nodes."""
    return [f"chaos-{lab}-{number:04d}" for number in range(num_nodes)]


def node(lab: str, name: str) -> Manifest:
    """A node with room for all the pods of a campaign, simulated by the lab's own kwok."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {LABEL_LAB: lab},
            "labels": {
                LABEL_LAB: lab,
                "fairlead.dev/simulated": "true",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                HOSTNAME: name,
            },
        },
        "spec": {"taints": [taint()]},
        "status": {"capacity": _SIZE, "allocatable": _SIZE},
    }


def taint() -> Manifest:
    """The taint of every node of a lab."""
    return {"key": TAINT, "value": "true", "effect": "NoSchedule"}


def lost() -> Manifest:
    """The taint that has the taint eviction controller end a node's pods at once."""
    return {"key": LOST, "value": "true", "effect": "NoExecute"}


def policy(lab: str) -> list[Manifest]:
    """What lets pods of the lab's namespaces go to its nodes, and nobody else's."""
    name = f"fairlead-chaos-{lab}"
    head = {"name": name, "labels": {LABEL_LAB: lab}}
    pods = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    mine = {"matchLabels": {LABEL_LAB: lab}}
    return [
        {
            "apiVersion": admin.POLICY.api_version,
            "kind": admin.POLICY.kind,
            "metadata": head,
            "spec": {
                "matchConstraints": {"namespaceSelector": mine, "resourceRules": [pods]},
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [
                    {"patchType": "JSONPatch", "jsonPatch": {"expression": _PATCHES.strip()}}
                ],
            },
        },
        {
            "apiVersion": admin.POLICY_BINDING.api_version,
            "kind": admin.POLICY_BINDING.kind,
            "metadata": head,
            "spec": {"policyName": name},
        },
    ]


def is_tolerated(pod: Manifest) -> bool:
    """Whether the policy has passed over a pod."""
    return any(each.get("key") == TAINT for each in pod["spec"].get("tolerations") or [])
