"""Simulated GPU nodes: their names say so, and only pods that tolerate their taint go there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fairlead_cluster import api, manifests

PREFIX = "simulated-gpu-"
CAPACITY = {
    "cpu": "64",
    "memory": "512Gi",
    "ephemeral-storage": "1Ti",
    "pods": "110",
    "nvidia.com/gpu": "8",
}
STAGE_FOLDERS = ("node/fast", "node/heartbeat-with-lease", "pod/general")
STAGE_FILES = (
    # Failures on demand: a pod or node that carries the label of the stage meets it.
    "pod/chaos/pod-container-running-failed.yaml",
    "node/chaos/node-not-ready.yaml",
)


def names(num_nodes: int) -> list[str]:
    """Names of the nodes."""
    return [f"{PREFIX}{number:04d}" for number in range(num_nodes)]


def node(name: str) -> dict[str, Any]:
    """One simulated node of eight GPUs."""
    rendered = manifests.objects("simulated-gpu-node.yaml", {"name": name})[0]
    # The API server takes the status of a node at its creation: one request a node.
    return {**rendered, "status": {"capacity": CAPACITY, "allocatable": CAPACITY}}


def stages(folder: Path) -> str:
    """Join the stages of the kwok module and our own into one configuration file.

    Args:
        folder: `kustomize/stage` of the kwok module.
    """
    files: list[Path] = []
    for part in STAGE_FOLDERS:
        found = sorted((folder / part).glob("*.yaml"))
        files += [file for file in found if file.name != "kustomization.yaml"]
    files += [folder / file for file in STAGE_FILES]
    texts = [file.read_text() for file in files]
    texts.append(manifests.text("kwok-interrupted.yaml", _Verbatim()))
    return "\n---\n".join(texts)


class _Verbatim(dict[str, object]):
    """Leaves the `$variables` of kwok's own template language as they are."""

    def __missing__(self, key: str) -> str:
        return f"${key}"


def ensure(server: api.Api, num_nodes: int) -> None:
    """Make exactly `num_nodes` simulated nodes."""
    existing = set(_existing(server))
    wanted = names(num_nodes)
    server.create_all("/api/v1/nodes", (node(name) for name in wanted if name not in existing))
    for name in existing.difference(wanted):
        server.delete(f"/api/v1/nodes/{name}")


def are_ready(server: api.Api, num_nodes: int) -> bool:
    """Tell whether every simulated node is Ready."""
    listed = server.get("/api/v1/nodes")
    if listed is None:
        return False
    ready = {item["metadata"]["name"] for item in listed["items"] if is_ready(item)}
    return ready.issuperset(names(num_nodes))


def is_ready(item: api.Object) -> bool:
    """Tell whether a node is Ready."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def _existing(server: api.Api) -> Iterable[str]:
    listed = server.get("/api/v1/nodes") or {"items": []}
    found = (item["metadata"]["name"] for item in listed["items"])
    return (name for name in found if name.startswith(PREFIX))


def any_exist(server: api.Api) -> bool:
    """Tell whether the cluster has simulated nodes."""
    return any(True for _ in _existing(server))
