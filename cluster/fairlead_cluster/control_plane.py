"""Bring up etcd, the API server, its controllers and the node simulator."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fairlead_cluster import api, components, manifests, pki, processes, programs, simulated

COMPONENTS: tuple[Callable[[components.Parts], processes.Component], ...] = (
    components.etcd,
    components.kube_apiserver,
    components.kube_controller_manager,
    components.kube_scheduler,
    components.kwok,
)
KWOK_MODULE = "sigs.k8s.io/kwok"
_PATIENCE_SECONDS = 120.0


def configure(parts: components.Parts, cache: programs.Cache) -> None:
    """Write the certificates' users: configuration files that the programs read."""
    pki.ensure(parts.where.pki, pki.identities(parts.where.node_name, parts.addresses))
    parts.where.audit_log.parent.mkdir(parents=True, exist_ok=True)
    # etcd warns on every start when others may read its data.
    parts.where.etcd.mkdir(mode=0o700, exist_ok=True)
    write(parts.where.etc / "audit-policy.yaml", manifests.text("audit-policy.yaml", {}))
    stages = cache.module_folder(KWOK_MODULE, "kustomize/stage")
    write(parts.where.etc / "kwok-stages.yaml", simulated.stages(stages))


def start(parts: components.Parts, supervisor: processes.Supervisor, server: api.Api) -> None:
    """Start what does not run and wait until the API server serves."""
    supervisor.start(components.etcd(parts))
    supervisor.start(components.kube_apiserver(parts))
    supervisor.wait_ready("kube-apiserver", server.is_ready, _PATIENCE_SECONDS)
    for component in COMPONENTS[2:]:
        supervisor.start(component(parts))
    # Pods are refused before the controller has made this account.
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    supervisor.wait_ready(
        "kube-controller-manager", lambda: server.get(account) is not None, _PATIENCE_SECONDS
    )


def write(path: Path, text: str) -> None:
    """Write a configuration file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(text)
    os.replace(aside, path)
