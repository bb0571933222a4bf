"""Command lines of the cluster's programs: pure, they start nothing and read no file.

Every flag that isn't obvious says why it stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import kubeconfig, layout, pki, processes, ranges

ETCD_URL = "https://127.0.0.1:2379"


@dataclass(frozen=True)
class Parts:
    """What every command line is rendered from."""

    where: layout.Layout
    addresses: ranges.Ranges
    programs: Mapping[str, Path]

    def crt(self, name: str) -> str:
        """Path of a certificate."""
        return str(self.where.pki / f"{name}.crt")

    def key(self, name: str) -> str:
        """Path of a private key."""
        return str(self.where.pki / f"{name}.key")

    def component(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> processes.Component:
        """A component of the program of the same name."""
        command = (str(self.programs[name]), *arguments)
        return processes.Component(name=name, command=command, env=dict(env or {}))


def etcd(parts: Parts) -> processes.Component:
    """The store of the API server."""
    return parts.component(
        "etcd",
        f"--data-dir={parts.where.etcd}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        f"--cert-file={parts.crt('etcd')}",
        f"--key-file={parts.key('etcd')}",
        f"--trusted-ca-file={parts.crt(pki.ETCD_CA)}",
        "--client-cert-auth",
        # A cluster for demos and tests: losing it to a power cut costs one `up`.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def kube_apiserver(parts: Parts) -> processes.Component:
    """The API server, which alone speaks to etcd."""
    service_account = parts.key(pki.SERVICE_ACCOUNT)
    return parts.component(
        "kube-apiserver",
        f"--advertise-address={parts.addresses.node}",
        f"--bind-address={parts.addresses.node}",
        f"--secure-port={kubeconfig.API_PORT}",
        f"--etcd-servers={ETCD_URL}",
        f"--etcd-cafile={parts.crt(pki.ETCD_CA)}",
        f"--etcd-certfile={parts.crt('apiserver-etcd-client')}",
        f"--etcd-keyfile={parts.key('apiserver-etcd-client')}",
        f"--service-cluster-ip-range={parts.addresses.services}",
        f"--client-ca-file={parts.crt(pki.CLUSTER_CA)}",
        f"--tls-cert-file={parts.crt('apiserver')}",
        f"--tls-private-key-file={parts.key('apiserver')}",
        f"--service-account-key-file={parts.where.pki / (pki.SERVICE_ACCOUNT + '.pub')}",
        f"--service-account-signing-key-file={service_account}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--anonymous-auth=false",
        "--allow-privileged",
        f"--kubelet-client-certificate={parts.crt('apiserver-kubelet-client')}",
        f"--kubelet-client-key={parts.key('apiserver-kubelet-client')}",
        f"--kubelet-certificate-authority={parts.crt(pki.CLUSTER_CA)}",
        "--kubelet-preferred-address-types=InternalIP",
        *_front_proxy(parts),
        *_audit(parts.where),
    )


def _front_proxy(parts: Parts) -> tuple[str, ...]:
    return (
        f"--requestheader-client-ca-file={parts.crt(pki.FRONT_PROXY_CA)}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={parts.crt('front-proxy-client')}",
        f"--proxy-client-key-file={parts.key('front-proxy-client')}",
        # Aggregated APIs (KEDA's metrics) are reached at their pods, not by a cluster IP.
        "--enable-aggregator-routing",
    )


def _audit(where: layout.Layout) -> tuple[str, ...]:
    return (
        f"--audit-policy-file={where.etc / 'audit-policy.yaml'}",
        f"--audit-log-path={where.audit_log}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
    )


def _controller(parts: Parts, name: str) -> tuple[str, ...]:
    """Flags of a program that acts on what the API server holds, alone in its cluster."""
    config = parts.where.component_kubeconfig(name)
    return (
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        # Scale tests create thousands of objects: 20 requests a second would be measured.
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
    )


def kube_controller_manager(parts: Parts) -> processes.Component:
    """The built-in controllers."""
    return parts.component(
        "kube-controller-manager",
        *_controller(parts, "kube-controller-manager"),
        f"--service-account-private-key-file={parts.key(pki.SERVICE_ACCOUNT)}",
        f"--root-ca-file={parts.crt(pki.CLUSTER_CA)}",
        f"--cluster-signing-cert-file={parts.crt(pki.CLUSTER_CA)}",
        f"--cluster-signing-key-file={parts.key(pki.CLUSTER_CA)}",
        "--use-service-account-credentials",
        f"--cluster-cidr={parts.addresses.pods}",
        "--allocate-node-cidrs",
        f"--service-cluster-ip-range={parts.addresses.services}",
        # Seen by the one who waits for a replica; 15 s by default.
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--concurrent-job-syncs=50",
    )


def kube_scheduler(parts: Parts) -> processes.Component:
    """The scheduler."""
    return parts.component("kube-scheduler", *_controller(parts, "kube-scheduler"))


def kwok(parts: Parts) -> processes.Component:
    """The simulator of nodes that are marked as simulated; it never touches the real one."""
    return parts.component(
        "kwok",
        f"--kubeconfig={parts.where.component_kubeconfig('kwok')}",
        f"--config={parts.where.etc / 'kwok-stages.yaml'}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--node-ip={parts.addresses.node}",
        # Not 10250: the kubelet listens there.
        "--node-port=10247",
        "--node-lease-duration-seconds=40",
        # Its own folder under HOME would be shared by all clusters of the machine.
        env={"KWOK_WORKDIR": str(parts.where.root / "kwok")},
    )


def containerd(parts: Parts) -> processes.Component:
    """The container runtime."""
    shim_folder = parts.programs["containerd-shim-runc-v2"].parent
    return parts.component(
        "containerd",
        f"--config={parts.where.etc / 'containerd.toml'}",
        env={"PATH": f"{shim_folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def kubelet(parts: Parts) -> processes.Component:
    """The agent of the one real node."""
    return parts.component(
        "kubelet",
        f"--config={parts.where.etc / 'kubelet.yaml'}",
        f"--kubeconfig={parts.where.component_kubeconfig('kubelet')}",
        f"--hostname-override={parts.where.node_name}",
        f"--node-ip={parts.addresses.node}",
        f"--root-dir={parts.where.kubelet}",
        f"--cert-dir={parts.where.kubelet / 'pki'}",
        "--v=1",
    )


def kube_proxy(parts: Parts) -> processes.Component:
    """Cluster IPs; it must start after the node has its address, or it ends by itself."""
    return parts.component(
        "kube-proxy",
        f"--kubeconfig={parts.where.component_kubeconfig('kube-proxy')}",
        f"--hostname-override={parts.where.node_name}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={parts.addresses.pods}",
        "--bind-address=127.0.0.1",
        "--nodeport-addresses=primary",
        # The sizes of the connection table belong to the host, not to a namespace.
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--oom-score-adj=0",
    )
