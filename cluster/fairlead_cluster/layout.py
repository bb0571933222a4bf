"""Where the parts of one cluster live: paths and names only, nothing here touches them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

LABEL = "fairlead"
"""First part of every name that the tool gives to a kernel object."""


@dataclass(frozen=True)
class Layout:
    """Folders, files and kernel objects of the cluster `name` under `root`."""

    name: str
    root: Path

    @property
    def state_file(self) -> Path:
        """The typed record of the cluster (`state.State`)."""
        return self.root / "state.json"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def etc(self) -> Path:
        """Rendered configuration files."""
        return self.root / "etc"

    @property
    def logs(self) -> Path:
        """One file a component."""
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        """One record a started component."""
        return self.root / "pids"

    @property
    def etcd(self) -> Path:
        """Data of etcd."""
        return self.root / "etcd"

    @property
    def kubelet(self) -> Path:
        """Root folder of the kubelet: pods and their volumes."""
        return self.root / "kubelet"

    @property
    def pod_logs(self) -> Path:
        """Output of the containers."""
        return self.root / "pod-logs"

    @property
    def containerd(self) -> Path:
        """Images and running containers."""
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """Where kubelet and ctr reach containerd."""
        return self.containerd / "run" / "containerd.sock"

    @property
    def sockets(self) -> Path:
        """Sockets of containerd's shims; a socket's path may have 107 characters only."""
        return Path("/run/fairlead") / self._short_name

    @property
    def volumes(self) -> Path:
        """Volumes of the local-path provisioner."""
        return self.root / "volumes"

    @property
    def audit_log(self) -> Path:
        """Every request to the API server, at Metadata level."""
        return self.root / "audit" / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, the one users get."""
        return self.root / "kubeconfig"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME of the Airflow beside the cluster."""
        return self.root / "airflow"

    def component_kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one component."""
        return self.etc / f"{user}.kubeconfig"

    @property
    def kernel_name(self) -> str:
        """Name of the network namespace and of the cgroup."""
        return f"{LABEL}-{self.name}"

    @property
    def namespace_file(self) -> Path:
        """The file that holds the network namespace."""
        return Path("/run/netns") / self.kernel_name

    @property
    def host_device(self) -> str:
        """The host's end of the wire; 15 characters are all a device name may have."""
        return f"fl{self._short_name}"

    @property
    def _short_name(self) -> str:
        return f"{zlib.crc32(self.name.encode()):08x}"

    @property
    def node_name(self) -> str:
        """Name of the one real node."""
        return f"{self.name}-node"
