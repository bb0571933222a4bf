"""Bring up the one real node: containerd, kubelet and kube-proxy on this machine."""

from __future__ import annotations

import json
import socket
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import (
    api,
    commands,
    components,
    control_plane,
    manifests,
    network,
    pins,
    processes,
    programs,
    registry,
    simulated,
)

PAUSE = "pause"
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Node:
    """The node of a cluster and the registry it pulls from."""

    parts: components.Parts
    registry: registry.Registry
    pause_tag: str

    def configure(self) -> None:
        """Write the configuration files of containerd, kubelet and the CNI plugins."""
        etc = self.parts.where.etc
        control_plane.write(etc / "containerd.toml", self._containerd())
        control_plane.write(etc / "kubelet.yaml", self._kubelet())
        control_plane.write(etc / "resolv.conf", f"nameserver {self.parts.addresses.dns}\n")
        control_plane.write(
            self._registries / registry.NODE_NAME / "hosts.toml",
            manifests.text("hosts.toml", {"registry": self.registry.url_for_host}),
        )
        self._link_cni_plugins()
        for folder in (self.parts.where.volumes, self.parts.where.sockets):
            folder.mkdir(parents=True, exist_ok=True)

    def start(self, supervisor: processes.Supervisor, server: api.Api) -> None:
        """Start what does not run and wait until the node is Ready."""
        supervisor.start(components.containerd(self.parts))
        socket_file = self.parts.where.containerd_socket
        supervisor.wait_ready("containerd", lambda: listens(socket_file), _PATIENCE_SECONDS)
        path = self._register(supervisor, server)
        before = self._last_sign(server)
        if supervisor.start(components.kubelet(self.parts)):
            # After a crash the node's object still says Ready until somebody notices.
            supervisor.wait_ready(
                "kubelet", lambda: self._last_sign(server) != before, _PATIENCE_SECONDS
            )
        supervisor.wait_ready("kubelet", lambda: has_address(server.get(path)), _PATIENCE_SECONDS)
        supervisor.start(components.kube_proxy(self.parts))
        supervisor.wait_ready(
            "kubelet", lambda: simulated.is_ready(server.get(path) or {}), _PATIENCE_SECONDS
        )

    def _register(self, supervisor: processes.Supervisor, server: api.Api) -> str:
        """Make the node's object and configure the addresses that the controller gives it.

        The kubelet would register by itself, but then be Ready some seconds later only, at its
        next look for a pod network.
        """
        name = self.parts.where.node_name
        path = f"/api/v1/nodes/{name}"
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        server.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        supervisor.wait_ready(
            "kube-controller-manager", lambda: bool(pod_range(server.get(path))), _PATIENCE_SECONDS
        )
        conflist = json.dumps(self._cni(pod_range(server.get(path))), indent=2)
        control_plane.write(self.parts.where.etc / "cni" / "10-pods.conflist", conflist)
        return path

    def _last_sign(self, server: api.Api) -> str | None:
        """When the kubelet last renewed its lease."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"
        lease = server.get(path + self.parts.where.node_name) or {}
        found: str | None = lease.get("spec", {}).get("renewTime")
        return found

    @property
    def _registries(self) -> Path:
        return self.parts.where.etc / "registries"

    @property
    def _cni_bin(self) -> Path:
        return self.parts.where.root / "cni-bin"

    def _containerd(self) -> str:
        values = {
            "root": self.parts.where.containerd,
            "socket": self.parts.where.containerd_socket,
            "shim_sockets": self.parts.where.sockets,
            "pause_image": f"{self.registry.url_for_node}/{PAUSE}:{self.pause_tag}",
            "registries": self._registries,
            "disable_apparmor": "false" if _has_apparmor() else "true",
            "cni_bin": self._cni_bin,
            "cni_conf": self.parts.where.etc / "cni",
        }
        return manifests.text("containerd.toml", values)

    def _kubelet(self) -> str:
        where = self.parts.where
        values = {
            "pki": where.pki,
            "node_address": self.parts.addresses.node,
            "socket": where.containerd_socket,
            "pod_logs": where.pod_logs,
            "root": where.kubelet,
            "resolv_conf": where.etc / "resolv.conf",
            "dns": self.parts.addresses.dns,
            "cgroup": where.kernel_name,
        }
        return manifests.text("kubelet.yaml", values)

    def _cni(self, subnet: str) -> dict[str, object]:
        bridge = {
            "type": "bridge",
            "bridge": network.POD_DEVICE,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.parts.where.root / "cni-addresses"),
                "ranges": [[{"subnet": subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        name = self.parts.where.kernel_name
        return {"cniVersion": "1.0.0", "name": name, "plugins": [bridge, portmap]}

    def _link_cni_plugins(self) -> None:
        self._cni_bin.mkdir(parents=True, exist_ok=True)
        for name in pins.CNI_PLUGINS:
            link = self._cni_bin / name
            link.unlink(missing_ok=True)
            link.symlink_to(self.parts.programs[name])


def listens(file: Path) -> bool:
    """Tell whether somebody listens on a socket: the file alone outlives a killed process."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(file))
        except OSError:
            return False
    return True


def has_address(item: api.Object | None) -> bool:
    """Tell whether a node object carries an internal address."""
    addresses = (item or {}).get("status", {}).get("addresses", [])
    return any(entry["type"] == "InternalIP" for entry in addresses)


def pod_range(item: api.Object | None) -> str:
    """Return the range that the controller manager gave to a node, empty until it did."""
    found: str = (item or {}).get("spec", {}).get("podCIDR", "")
    return found


def push_pause(images: registry.Registry, cache: programs.Cache) -> str:
    """Push the image of every pod's first process, made of one static program; return its tag."""
    built = cache.build([PAUSE, "crane"])
    tag = cache.key(PAUSE)
    if images.has(PAUSE, tag):
        return tag
    reference = f"{images.url_for_host}/{PAUSE}:{tag}"
    crane = (str(built["crane"]), "--insecure", "--platform=linux/amd64")
    way_out = "run `fairlead-cluster up` again"
    with tempfile.TemporaryDirectory() as scratch:
        layer = Path(scratch) / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            archive.add(built[PAUSE], arcname="pause")
        commands.run(
            [
                *crane,
                "append",
                "--oci-empty-base",
                f"--new_layer={layer}",
                f"--new_tag={reference}",
            ],
            what="push the pause image",
            way_out=way_out,
        )
    commands.run(
        [*crane, "mutate", "--entrypoint=/pause", "--user=65535:65535"]
        + ["--set-platform=linux/amd64", f"--tag={reference}", reference],
        what="push the pause image",
        way_out=way_out,
    )
    images.keep()
    return tag


def _has_apparmor() -> bool:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    return enabled.exists() and enabled.read_text().strip() == "Y"
