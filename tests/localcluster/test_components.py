"""Command lines and configuration files: every path and address is the cluster's own."""

import base64
import socket
from pathlib import Path

import pytest
import yaml

from fairlead_cluster import (
    components,
    control_plane,
    kubeconfig,
    layout,
    manifests,
    node,
    pins,
    pki,
    ranges,
    registry,
    simulated,
)

ALL = (*control_plane.COMPONENTS, components.containerd, components.kubelet, components.kube_proxy)


@pytest.fixture
def parts(tmp_path):
    where = layout.Layout("one", tmp_path / "one")
    programs = {name: Path("/cache") / name for name in pins.PROGRAMS}
    return components.Parts(where, ranges.Ranges(1), programs)


def flags(component):
    return dict(word.partition("=")[::2] for word in component.command[1:])


@pytest.mark.parametrize("component", ALL, ids=lambda build: build.__name__)
def test_components_carry_the_name_of_their_program(parts, component):
    built = component(parts)
    assert built.command[0] == f"/cache/{built.name}"
    assert built.name == component.__name__.replace("_", "-")


@pytest.mark.parametrize("component", ALL, ids=lambda build: build.__name__)
def test_no_component_names_a_file_outside_of_the_cluster(parts, component):
    for name, value in flags(component(parts)).items():
        if value.startswith("/"):
            assert value.startswith(str(parts.where.root)), name


@pytest.mark.parametrize("component", ALL, ids=lambda build: build.__name__)
def test_no_flag_is_given_twice(parts, component):
    words = component(parts).command[1:]
    assert len({word.partition("=")[0] for word in words}) == len(words)


@pytest.mark.parametrize(
    ("component", "flag", "value"),
    [
        (components.kube_apiserver, "--advertise-address", "198.18.1.1"),
        (components.kube_apiserver, "--service-cluster-ip-range", "10.76.0.0/16"),
        (components.kube_apiserver, "--anonymous-auth", "false"),
        (components.kube_controller_manager, "--cluster-cidr", "10.72.0.0/14"),
        (components.kube_controller_manager, "--horizontal-pod-autoscaler-sync-period", "5s"),
        (components.kubelet, "--hostname-override", "one-node"),
        (components.kubelet, "--node-ip", "198.18.1.1"),
        (components.kube_proxy, "--conntrack-max-per-core", "0"),
        (components.kwok, "--manage-all-nodes", "false"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_settings_that_matter(parts, component, flag, value):
    assert flags(component(parts))[flag] == value


def test_the_front_proxy_has_an_authority_of_its_own(parts):
    given = flags(components.kube_apiserver(parts))
    assert given["--requestheader-client-ca-file"] != given["--client-ca-file"]
    assert given["--requestheader-allowed-names"] == "front-proxy-client"


def test_etcd_takes_no_client_without_a_certificate(parts):
    given = flags(components.etcd(parts))
    assert "--client-cert-auth" in given
    assert given["--trusted-ca-file"] != flags(components.kube_apiserver(parts))["--client-ca-file"]


@pytest.fixture
def configured(parts, monkeypatch):
    parts.where.etc.mkdir(parents=True)
    found = node.Node(parts, registry.Registry(folder=parts.where.root), "tag-1")
    found.configure()
    return found


def test_the_kubelet_keeps_everything_in_the_cluster(configured, parts):
    config = yaml.safe_load((parts.where.etc / "kubelet.yaml").read_text())
    assert config["cgroupRoot"] == "/fairlead-one"
    assert config["clusterDNS"] == ["10.76.0.10"]
    assert config["authentication"]["anonymous"] == {"enabled": False}
    for key in ("podLogsDir", "volumePluginDir", "resolvConf"):
        assert config[key].startswith(str(parts.where.root)), key


def test_containerd_pulls_pause_from_the_registry_of_the_machine(configured, parts):
    text = (parts.where.etc / "containerd.toml").read_text()
    assert "sandbox = 'registry.fairlead.internal/pause:tag-1'" in text
    hosts = parts.where.etc / "registries" / registry.NODE_NAME / "hosts.toml"
    assert f'server = "http://{ranges.REGISTRY_ADDRESS}:5000"' in hosts.read_text()


def test_pods_get_the_range_that_the_controller_manager_chose(configured):
    bridge, _ = configured._cni("10.72.5.0/24")["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.72.5.0/24"}]]


@pytest.mark.parametrize(
    ("item", "has_address", "pod_range"),
    [
        pytest.param(None, False, "", id="not-registered"),
        pytest.param({"status": {}}, False, "", id="bare"),
        pytest.param({"spec": {"podCIDR": "10.1.0.0/24"}}, False, "10.1.0.0/24", id="range-only"),
        pytest.param(
            {"status": {"addresses": [{"type": "InternalIP", "address": "198.18.0.1"}]}},
            True,
            "",
            id="address",
        ),
    ],
)
def test_reading_a_node(item, has_address, pod_range):
    assert node.has_address(item) is has_address
    assert node.pod_range(item) == pod_range


def test_kubeconfigs_carry_their_certificates_and_are_private(parts):
    where = parts.where
    pki.ensure(where.pki, pki.identities(where.node_name, parts.addresses))
    kubeconfig.ensure(where, parts.addresses)
    admin = yaml.safe_load(where.kubeconfig.read_text())
    assert admin["clusters"][0]["cluster"]["server"] == "https://198.18.1.1:6443"
    data = admin["users"][0]["user"]["client-certificate-data"]
    assert base64.b64decode(data) == (where.pki / "admin.crt").read_bytes()
    for file in (where.kubeconfig, where.component_kubeconfig("kubelet")):
        assert file.stat().st_mode & 0o777 == 0o600


def test_simulated_nodes_say_so_and_refuse_pods_that_do_not_ask_for_them():
    made = simulated.node(simulated.names(2)[1])
    assert made["metadata"]["name"] == "simulated-gpu-0001"
    assert made["metadata"]["annotations"]["kwok.x-k8s.io/node"] == "fake"
    assert made["spec"]["taints"][0]["effect"] == "NoSchedule"
    assert made["status"]["allocatable"]["nvidia.com/gpu"] == "8"


def test_an_unknown_placeholder_is_an_error():
    with pytest.raises(KeyError):
        manifests.text("coredns.yaml", {"image": "x"})


def test_the_stages_of_kwok_keep_their_own_variables(tmp_path):
    for part in simulated.STAGE_FOLDERS:
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "kustomization.yaml").write_text("resources: [a.yaml]")
        (tmp_path / part / "a.yaml").write_text(f"kind: Stage\nmetadata: {{name: {part}}}")
    for file in simulated.STAGE_FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(f"kind: Stage\nmetadata: {{name: {file}}}")
    stages = list(yaml.safe_load_all(simulated.stages(tmp_path)))
    assert [stage["kind"] for stage in stages] == ["Stage"] * 6
    assert "$now := Now" in stages[-1]["spec"]["next"]["statusTemplate"]


@pytest.mark.parametrize(
    ("name", "device"),
    [("fairlead", "fl"), ("x" * 40, "fl")],
    ids=["short", "longest"],
)
def test_device_names_fit_the_kernel(name, device):
    where = layout.Layout(name, Path("/x"))
    assert where.host_device.startswith(device)
    assert len(where.host_device) <= 15
    longest = where.sockets / ("f" * 64)
    assert len(str(longest)) <= 107


def test_a_socket_counts_while_somebody_listens_on_it(tmp_path):
    file = tmp_path / "socket"
    assert not node.listens(file)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(file))
        server.listen()
        assert node.listens(file)
    assert file.exists()
    assert not node.listens(file), "left behind by a killed process"
