"""Whether a cluster of the user's own will do: reachable, with the rights, with the optional parts.

Nothing is changed here. Each refusal is one line that names the cause.
"""

from __future__ import annotations

from typing import Any

import yaml

from fairlead_cluster import errors
from fairlead_cluster.access import Access

GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_NEEDED = (
    ("", "namespaces"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("apps", "deployments"),
)
"""Kinds, by group and plural, that stand for the chart's."""


def require(access: Access, verb: str) -> None:
    """Check the way to the cluster and the right to do the verb with what the chart holds.

    Raises:
        ClusterError: When the context is unknown, the cluster doesn't answer or rights lack.
    """
    _require_context(access)
    access.run(
        *("get", "--request-timeout=20s", "--raw=/readyz"),
        what=f"reach the cluster of context {access.context!r}",
        way_out="check that it runs and that your credentials are still good",
    )
    refused = _refused(access, verb)
    if refused:
        raise errors.ClusterError(
            f"context {access.context!r} may not {verb} {', '.join(refused)} in the whole cluster",
            "ask an administrator for these rights, or to install the chart for you",
        )


def lacks(access: Access) -> list[str]:
    """Say what of the optional parts the cluster lacks; empty when nothing."""
    found = []
    if not has_gateway_api(access):
        found.append(
            "no Gateway API: models are reached by their Services only, without canaries; "
            "install Envoy Gateway (https://gateway.envoyproxy.io) to have them"
        )
    if not _has_default_storage(access):
        found.append(
            "no default StorageClass: name one in every claim of the examples "
            "(spec.storageClassName)"
        )
    return found


def has_gateway_api(access: Access) -> bool:
    """Tell whether the cluster serves Gateway API."""
    return access.read(GATEWAY_API, "look for Gateway API") is not None


def _require_context(access: Access) -> None:
    # Without our --context: with an unknown one kubectl doesn't even list the others.
    known = Access(access.kubectl, access.helm, access.kubeconfig, None)
    listed = known.run("config", "get-contexts", "--output=name", what="read your kubeconfig")
    if access.context not in listed.split():
        names = ", ".join(listed.split()) or "none"
        raise errors.ClusterError(
            f"your kubeconfig has no context {access.context!r} (contexts: {names})",
            "set FAIRLEAD_CONTEXT to one of them, KUBECONFIG to the file that has it, or unset it",
        )


def _refused(access: Access, verb: str) -> list[str]:
    """List what the user may not do, by asking about each kind in one call."""
    answers = access.run(
        *("create", "--validate=false", "-f", "-", "--output=jsonpath={.status.allowed}{'\\n'}"),
        what=f"ask for the rights of context {access.context!r}",
        stdin=yaml.safe_dump_all(_review(verb, *kind) for kind in _NEEDED),
    )
    pairs = zip(_NEEDED, answers.split(), strict=True)
    return [resource for (_, resource), answer in pairs if answer != "true"]


def _review(verb: str, group: str, resource: str) -> dict[str, Any]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource}},
    }


def _has_default_storage(access: Access) -> bool:
    listed = access.read(_STORAGE_CLASSES, "look for a default StorageClass") or {"items": []}
    annotations = (item["metadata"].get("annotations", {}) for item in listed["items"])
    return any(found.get(_DEFAULT_CLASS) == "true" for found in annotations)
