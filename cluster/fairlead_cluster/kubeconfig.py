"""Kubeconfig files of the cluster's own; the user's ~/.kube/config is never touched."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from fairlead_cluster import layout, pki, ranges

API_PORT = 6443


def server(addresses: ranges.Ranges) -> str:
    """Address of the API server, the same from inside and from the host."""
    return f"https://{addresses.node}:{API_PORT}"


def render(cluster: str, user: str, address: str, folder: Path, identity: str) -> str:
    """Write a kubeconfig that carries its certificates, so that it can be copied."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [
            {
                "name": cluster,
                "cluster": {
                    "server": address,
                    "certificate-authority-data": _data(folder / f"{pki.CLUSTER_CA}.crt"),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _data(folder / f"{identity}.crt"),
                    "client-key-data": _data(folder / f"{identity}.key"),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def ensure(where: layout.Layout, addresses: ranges.Ranges) -> None:
    """Write the administrator's kubeconfig and one for every component."""
    files = {
        name: where.component_kubeconfig(name)
        for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kwok")
    }
    files["admin"] = where.kubeconfig
    for identity, path in files.items():
        context = where.kernel_name
        _write(path, render(context, identity, server(addresses), where.pki, identity))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.touch(mode=0o600)
    aside.write_text(text)
    os.replace(aside, path)


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
