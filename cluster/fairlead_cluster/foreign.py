"""A cluster of the user's own, named by FAIRLEAD_CONTEXT: looked at, never changed from here.

It reads the kubeconfig that kubectl reads (KUBECONFIG, else ~/.kube/config) and writes none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import commands, errors

_GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Foreign:
    """One context of the user's kubeconfig."""

    context: str
    kubectl: Path

    def check(self) -> list[str]:
        """Say what of the optional parts the cluster lacks; empty when nothing.

        Raises:
            CommandFailed: When the cluster doesn't answer.
        """
        self._get("/readyz")
        found = []
        if not self._has(_GATEWAY_API):
            found.append(
                "no Gateway API: models are reached by their Services only, without canaries; "
                "install Envoy Gateway (https://gateway.envoyproxy.io) to have them"
            )
        if not self._has_default_storage():
            found.append(
                "no default StorageClass: name one in every claim of the examples "
                "(spec.storageClassName)"
            )
        return found

    def _has_default_storage(self) -> bool:
        items = json.loads(self._get(_STORAGE_CLASSES))["items"]
        annotations = (item["metadata"].get("annotations", {}) for item in items)
        return any(found.get(_DEFAULT_CLASS) == "true" for found in annotations)

    def _has(self, path: str) -> bool:
        try:
            self._get(path)
        except errors.CommandFailed as refused:
            if "NotFound" in refused.problem or "not find" in refused.problem:
                return False
            raise
        return True

    def _get(self, path: str) -> str:
        return commands.run(
            [
                *(self.kubectl, f"--context={self.context}", "--request-timeout=20s"),
                *("get", f"--raw={path}"),
            ],
            what=f"reach the cluster of context {self.context!r}",
            way_out="check FAIRLEAD_CONTEXT and `kubectl config get-contexts`, or unset it",
        )
