"""The embedded cluster for real: node, pods, walls, neighbours, crashes, and nothing left."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead_chaos import ports
from fairlead_cluster import (
    cgroups,
    down,
    embedded,
    errors,
    network,
    node,
    pins,
    processes,
    programs,
    ranges,
    registry,
    settings,
    simulated,
    state,
    status,
    teardown,
    up,
)

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 240
CONTROL_PLANE = up.Wanted(control_plane_only=True)
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def settings_like(name):
    return dataclasses.replace(settings.load(), name=name, slot=None)


def until(condition):
    assert processes.wait(condition, PATIENCE_SECONDS), "the condition did not come true in time"


def records(opened):
    """What is written down of each process: another one has another record."""
    return {file.name: file.read_text() for file in opened.where.pids.glob("*.json")}


def pod_status(server, name):
    found = server.get(f"/api/v1/namespaces/default/pods/{name}") or {}
    return found.get("status", {})


@pytest.fixture(scope="module")
def pod(with_node):
    """A running pod as Fairlead's own: restricted, with the runtime's seccomp profile."""
    tag = with_node.cache.key(node.PAUSE)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one"},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "pause",
                    "image": f"{registry.NODE_NAME}/{node.PAUSE}:{tag}",
                    "securityContext": RESTRICTED,
                    "resources": {"limits": {"memory": "50Mi", "cpu": "100m"}},
                }
            ],
        },
    }
    with_node.server.create("/api/v1/namespaces/default/pods", body)
    until(lambda: pod_status(with_node.server, "one").get("phase") == "Running")
    return pod_status(with_node.server, "one")


def pod_process(opened, number=0):
    """Pid of a container's process, found by the executable inside its own root."""
    found = [
        pid
        for pid in sorted(opened.cgroup.processes())
        if processes.command_line(pid).startswith("/pause")
    ]
    return found[number]


def test_the_node_is_ready_and_the_simulated_ones_are_told_apart(with_node):
    lines, is_whole = status.report(with_node, state.read(with_node.where.state_file))
    assert is_whole, lines
    text = "\n".join(lines)
    assert "node fl-test-node-node" in text
    assert "2 of 2 Ready" in text
    assert "not running" not in text


def processor_weight(folder):
    """What the kernel weighs a group by, whichever version of cgroups the machine has."""
    return int(next(folder.glob("cpu.[sw][he]*")).read_text())


def test_busy_pods_leave_the_api_server_its_processor(with_node):
    server = str(with_node.supervisor.pid("kube-apiserver"))
    system, pods = next(
        (folder / cgroups.SYSTEM, folder / "kubepods")
        for folder in with_node.cgroup.folders()
        if list((folder / "kubepods").glob("cpu.[sw][he]*"))
    )
    assert server in (system / "cgroup.procs").read_text().split()
    assert processor_weight(system) > processor_weight(pods)


def test_a_second_up_of_a_running_cluster_starts_nothing_and_is_quick(with_node, quickest):
    before = records(with_node)
    record = state.read(with_node.where.state_file)
    chosen = settings_like(record.name)
    assert quickest(lambda: up.up(chosen, up.Wanted(with_addons=False)), 20) < 20
    assert records(with_node) == before
    assert state.read(with_node.where.state_file) == record


def test_a_restricted_pod_runs_under_the_seccomp_profile_of_the_runtime(with_node, pod):
    assert pod["containerStatuses"][0]["ready"]
    words = Path(f"/proc/{pod_process(with_node, -1)}/status").read_text().splitlines()
    facts = dict(line.split(":\t", 1) for line in words if ":\t" in line)
    assert facts["Seccomp"].strip() == "2"
    assert facts["CapEff"].strip() == "0" * 16


def test_pods_reach_the_api_by_its_cluster_ip_and_the_host_reaches_pods(with_node, pod):
    address = str(with_node.addresses.api_service)
    assert connect_from(f"/proc/{pod_process(with_node)}/ns/net", address, 443) == 0
    # A pod's address answers from the host: refused, since nothing listens there.
    assert connect_from("/proc/self/ns/net", pod["podIP"], 9) == errno.ECONNREFUSED


CONNECT = """
import socket, sys
with socket.socket() as s:
    s.settimeout(60)
    print(s.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""


def connect_from(namespace, address, port):
    """Try a connection in a network namespace and return its errno."""
    command = ["nsenter", f"--net={namespace}", sys.executable, "-c", CONNECT]
    done = subprocess.run(
        [*command, address, str(port)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.7", "8.8.8.8"])
def test_no_packet_leaves_the_cluster(with_node, pod, address):
    for namespace in (with_node.where.namespace_file, f"/proc/{pod_process(with_node)}/ns/net"):
        began = time.monotonic()
        assert connect_from(namespace, address, 80) in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        assert time.monotonic() - began < 30, "refused at once, not by a timeout"


def test_the_namespace_has_no_route_but_its_own(with_node):
    said = subprocess.run(
        ["ip", "-n", with_node.where.kernel_name, "-json", "route", "show", "table", "main"],
        capture_output=True,
        text=True,
        check=True,
    )
    routes = {route["dst"] for route in json.loads(said.stdout)}
    assert "default" not in routes
    wire = f"{with_node.addresses.machine[252]}/30"
    assert routes - {wire, str(ranges.REGISTRY_ADDRESS)} == {
        node.pod_range(with_node.server.get(f"/api/v1/nodes/{with_node.where.node_name}"))
    }


def test_the_host_has_no_firewall_rule_of_ours(with_node):
    inside = ["nsenter", f"--net={with_node.where.namespace_file}"]
    assert "KUBE-" not in iptables_save()
    assert "KUBE-" in iptables_save(*inside)


def iptables_save(*enter):
    command = [*enter, "iptables-save"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_requests_are_in_the_audit_log_with_who_made_them(with_node):
    with_node.server.get("/api/v1/namespaces/default/configmaps/no-such")

    def is_logged():
        *lines, _ = with_node.where.audit_log.read_bytes().split(b"\n")  # the last is being written
        events = [json.loads(line) for line in lines]
        return any(
            event["user"]["username"] == "fairlead-admin"
            and event["objectRef"].get("name") == "no-such"
            and event["verb"] == "get"
            for event in events
            if "objectRef" in event
        )

    until(is_logged)


def test_simulated_pods_run_on_simulated_nodes_only(with_node):
    with_node.server.create("/api/v1/namespaces/default/pods", simulated_pod("gpu"))
    until(lambda: pod_status(with_node.server, "gpu").get("phase") == "Running")
    found = with_node.server.get("/api/v1/namespaces/default/pods/gpu")
    assert found["spec"]["nodeName"].startswith(simulated.PREFIX)


def test_a_deleted_simulated_pod_ends_as_a_killed_one_before_it_goes(with_node):
    """A Job waits for that end: its finalizer stays on the pod until then."""
    body = simulated_pod("preempted", finalizers=["fairlead.dev/test"])
    path = "/api/v1/namespaces/default/pods/preempted"
    with_node.server.create("/api/v1/namespaces/default/pods", body)
    until(lambda: pod_status(with_node.server, "preempted").get("phase") == "Running")
    with_node.server.delete(path)
    until(lambda: pod_status(with_node.server, "preempted").get("phase") == "Failed")
    (container,) = pod_status(with_node.server, "preempted")["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 137
    patch = ["patch", "pod", "preempted", "--type=merge", '--patch={"metadata":{"finalizers":[]}}']
    with_node.server.kubectl_run(patch, what="let the pod go")
    until(lambda: with_node.server.get(path) is None)


def simulated_pod(name, **metadata):
    container = {
        "name": "trainer",
        "image": "any",
        "resources": {"limits": {"nvidia.com/gpu": "8"}},
    }
    spec = {
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
        "containers": [container],
    }
    metadata = {"name": name, **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_the_number_of_simulated_nodes_is_what_was_asked_for_last(with_node):
    for count in (3, 1):
        simulated.ensure(with_node.server, count)
        names = names_of_nodes(with_node.server)
        assert {name for name in names if name.startswith(simulated.PREFIX)} == set(
            simulated.names(count)
        )
        assert with_node.where.node_name in names


def names_of_nodes(server):
    lists = []

    def is_listed():  # a server that is busy for long gives None
        lists.append(server.get("/api/v1/nodes"))
        return lists[-1] is not None

    until(is_listed)
    return {item["metadata"]["name"] for item in lists[-1]["items"]}


def test_a_dead_component_is_named_and_started_again(with_node, pod):
    record = state.read(with_node.where.state_file)
    killed = ("kube-scheduler", "kubelet", "containerd")
    for name in killed:
        os.kill(with_node.supervisor.pid(name), signal.SIGKILL)
    # Each still runs while it gives back its memory, the larger ones longer.
    until(lambda: not any(with_node.supervisor.pid(name) for name in killed))
    lines, is_whole = status.report(with_node, record)
    assert not is_whole
    for name in killed:
        assert any(name in line and "not running" in line for line in lines), name
    up.up(settings_like(record.name), up.Wanted(with_addons=False))
    lines, is_whole = status.report(with_node, state.read(with_node.where.state_file))
    assert is_whole, lines
    until(lambda: pod_status(with_node.server, "one").get("phase") == "Running")


def test_a_cluster_comes_back_after_the_machine_was_restarted(with_node, pod):
    until(lambda: restarts(with_node, "one") >= 0)
    before = restarts(with_node, "one")
    cgroups.of(with_node.where.kernel_name).remove()
    network.remove(with_node.where)
    teardown.unmount_below(with_node.where.root)
    shutil.rmtree(with_node.where.sockets)
    up.up(settings_like(with_node.where.name), up.Wanted(with_addons=False))
    until(lambda: restarts(with_node, "one") > before)
    until(lambda: container(with_node, "one").get("ready"))


def container(opened, name):
    """What is told of a pod's container; nothing where the API server does not answer yet."""
    return (pod_status(opened.server, name).get("containerStatuses") or [{}])[0]


def restarts(opened, name):
    return container(opened, name).get("restartCount", -1)


def test_two_clusters_live_side_by_side(with_node, fresh):
    chosen, before = fresh("fl-test-other"), records(with_node)
    other = up.up(chosen, CONTROL_PLANE)
    assert other.addresses.slot != with_node.addresses.slot
    other.server.create(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "only-here"}},
    )
    assert with_node.server.get("/api/v1/namespaces/only-here") is None
    lines, _ = embedded.Embedded(chosen).report()
    assert with_node.where.name in next(line for line in lines if line.startswith("also here: "))
    down.down(chosen)
    assert not other.server.is_ready()
    assert records(with_node) == before
    until(with_node.server.is_ready)
    until(registry.Registry(with_node.cache.folder / "registry").is_ready)  # still in use


def test_a_range_that_the_host_uses_is_refused_before_anything_starts(fresh, traces):
    chosen = fresh("fl-test-taken")
    wanted = ranges.Ranges(15)
    subprocess.run(["ip", "route", "add", str(wanted.services), "dev", "lo"], check=True)
    try:
        with pytest.raises(errors.RangeTaken, match="route on lo"):
            up.up(dataclasses.replace(chosen, slot=15), CONTROL_PLANE)
    finally:
        subprocess.run(["ip", "route", "del", str(wanted.services), "dev", "lo"], check=True)
    assert traces(chosen.name) == []


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param("control plane", id="after-the-control-plane"),
        pytest.param(None, id="at-the-start"),
    ],
)
def test_an_interrupted_up_is_taken_over_by_the_next(fresh, traces, start_up, heard):
    chosen = fresh("fl-test-broken")
    where = state.layout_of(chosen.state_dir, chosen.name)
    # With something left to do after the control plane.
    process = start_up(chosen.name, "--control-plane-only", "--simulated-gpu-nodes", "1")
    if heard is None:
        until(where.root.exists)
    else:
        for line in process.stdout:
            if heard in line:
                break
        else:
            pytest.fail(f"it ended without a word of {heard!r}")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    opened = up.up(chosen, CONTROL_PLANE)
    until(opened.server.is_ready)
    assert state.read(where.state_file).complete
    down.down(chosen)
    assert traces(chosen.name) == []


def test_down_leaves_nothing(fresh, traces, machine):
    chosen = fresh("fl-test-gone")
    before = machine(chosen.name)
    with_running_pod(chosen)
    assert traces(chosen.name) != []
    down.down(chosen)
    assert traces(chosen.name) == []
    assert machine(chosen.name) == before


def test_an_up_after_a_down_has_a_ready_node_in_seconds(fresh, quickest):
    """Every `up` but the one that compiles."""
    chosen = fresh("fl-test-gone")
    programs.open_cache(chosen.cache_dir).build([*pins.CONTROL_PLANE, *pins.NODE])
    opened = []
    seconds = quickest(
        lambda: opened.append(up.up(chosen, up.Wanted(with_addons=False))),
        20,
        before=lambda: down.down(chosen),
    )
    assert seconds < 20
    opened = opened[-1]
    found = opened.server.get(f"/api/v1/nodes/{opened.where.node_name}")
    assert simulated.is_ready(found)
    down.down(chosen)


def test_down_needs_neither_records_nor_a_runtime_that_lives(fresh, traces, machine):
    chosen = fresh("fl-test-gone")
    before = machine(chosen.name)
    opened = with_running_pod(chosen)
    os.kill(opened.supervisor.pid("containerd"), signal.SIGKILL)
    for record in opened.where.pids.iterdir():
        record.unlink()
    opened.where.state_file.write_text("{")
    with pytest.raises(errors.ClusterError, match="can't be read") as refused:
        up.up(chosen, CONTROL_PLANE)
    assert "down" in refused.value.way_out
    down.down(chosen)
    assert traces(chosen.name) == []
    assert machine(chosen.name) == before


def with_running_pod(chosen):
    opened = up.up(chosen, up.Wanted(with_addons=False))
    tag = opened.cache.key(node.PAUSE)
    container = {"name": "pause", "image": f"{registry.NODE_NAME}/{node.PAUSE}:{tag}"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}}
    body["spec"] = {"containers": [container]}
    opened.server.create("/api/v1/namespaces/default/pods", body)
    until(lambda: pod_status(opened.server, "one").get("phase") == "Running")
    return opened


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """Keep the registry of this test apart from the machine's, which other clusters pull from."""
    address = f"127.0.0.1:{ports.draw()}"
    own = registry.Registry(tmp_path / "registry", url_for_host=address)
    monkeypatch.setattr(registry, "Registry", lambda folder: own)
    monkeypatch.setattr(registry, "_CGROUP", f"fairlead.registry-of-{os.getpid()}")
    for verb in ("add_registry_address", "remove_registry_address"):
        monkeypatch.setattr(network, verb, lambda: None)
    yield tmp_path
    registry.stop(tmp_path)


def test_the_registry_remembers_its_tags(apart, with_node):
    found = registry.ensure(apart, with_node.cache)
    tag = node.push_pause(found, with_node.cache)
    assert found.has(node.PAUSE, tag)
    assert not found.has(node.PAUSE, "no-such-tag")
    registry.stop(apart)
    assert not found.is_ready()
    again = registry.ensure(apart, with_node.cache)
    assert again.has(node.PAUSE, tag)


def test_a_module_with_another_hash_is_refused(with_node):
    with pytest.raises(errors.BuildFailed, match="pinned is h1:other"):
        with_node.cache.go.check_sum("github.com/google/go-containerregistry@v0.22.1", "h1:other")


def test_folders_of_modules_are_copied_once_and_whole(tmp_path, with_node):
    cache = programs.Cache(folder=tmp_path, go=with_node.cache.go)
    copied = cache.module_folder("sigs.k8s.io/kwok", "kustomize/stage")
    assert (copied / "pod" / "general" / "pod-delete.yaml").is_file()
    stamp = copied.stat().st_mtime_ns
    assert cache.module_folder("sigs.k8s.io/kwok", "kustomize/stage") == copied
    assert copied.stat().st_mtime_ns == stamp
