"""A service account of one namespace and the kubeconfig of it: for programs beside the cluster.

Its rights are those of the ClusterRole `edit` in the namespace, to which the chart adds ours.
"""

from __future__ import annotations

import json
from typing import Any, Final

from fairlead_cluster.access import Access

_TOKEN_DURATION: Final = "24h"


def kubeconfig(access: Access, namespace: str, name: str, labels: dict[str, str]) -> str:
    """Have the account in the namespace, and return a kubeconfig with a fresh token of it."""
    _make(access, namespace, name, labels)
    words = ("create", "token", name, "-n", namespace, f"--duration={_TOKEN_DURATION}")
    token = access.run(*words, what=f"get a token for {name}").strip()
    view = ("config", "view", "--minify", "--flatten", "--raw", "--output=json")
    document: dict[str, Any] = json.loads(access.run(*view, what="read the kubeconfig"))
    (context,) = document["contexts"]
    context["context"] |= {"user": name, "namespace": namespace}
    document["users"] = [{"name": name, "user": {"token": token}}]
    return json.dumps(document)


def _make(access: Access, namespace: str, name: str, labels: dict[str, str]) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [account, binding]})
    access.run("apply", "-f", "-", stdin=both, what=f"make the service account {name}")
