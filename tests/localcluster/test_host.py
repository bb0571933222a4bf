"""What the machine lacks is one line each, with the way out."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fairlead_cluster import (
    __main__,
    addons,
    cgroups,
    errors,
    host,
    layout,
    settings,
    simulated,
    teardown,
)


def test_without_root_the_way_out_is_sudo_or_a_cluster_of_ones_own():
    with pytest.raises(errors.HostUnfit, match="sudo") as refused:
        host.require_root(effective_user=1000)
    assert "FAIRLEAD_CONTEXT" in refused.value.way_out


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        pytest.param({"sh": "dash"}, [], id="there"),
        pytest.param({"no-such-program": "some-package"}, ["some-package"], id="missing"),
        pytest.param({"/proc/self/stat": "kernel"}, [], id="file-there"),
        pytest.param({"/no/such/file": "headers"}, ["headers"], id="file-missing"),
        pytest.param({"no-a": "one", "no-b": "one", "sh": "dash"}, ["one"], id="named-once"),
    ],
)
def test_missing_packages(wanted, missing):
    assert host.missing_packages(wanted) == missing


def test_without_apt_the_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.HostUnfit, match="missing: runc-of-nowhere") as refused:
        host.ensure_packages({"no-such-runc": "runc-of-nowhere"})
    assert "by hand" in refused.value.way_out


def test_without_root_the_packages_are_named(monkeypatch, tmp_path):
    (tmp_path / "apt-get").write_text("#!/bin/sh\ntouch $0.called\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(errors.HostUnfit, match="only root may install it"):
        host.ensure_packages({"no-such-runc": "runc-of-nowhere"})
    assert not (tmp_path / "apt-get.called").exists()


@pytest.fixture
def apt(monkeypatch, tmp_path):
    """Puts a script in the place of apt-get, for root."""

    def put(script):
        (tmp_path / "apt-get").write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "apt-get").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    return put


def test_an_apt_that_fails_names_the_packages(apt):
    apt("echo 'E: no network' >&2; exit 100\n")
    with pytest.raises(errors.CommandFailed, match=r"install runc-of-nowhere .*no network"):
        host.ensure_packages({"no-such-runc": "runc-of-nowhere"})


def test_what_apt_installs_is_there_afterwards(apt, tmp_path):
    """An apt that writes down its calls, and whose install makes the program."""
    apt(
        f'echo "$DEBIAN_FRONTEND $@" >>{tmp_path}/calls\n'
        f'case "$*" in *install*) ln -s /bin/sh {tmp_path}/no-such-runc;; esac\n'
    )
    as_always = f"noninteractive --quiet -oDPkg::Lock::Timeout={host.APT_SECONDS}"
    for _ in range(2):
        host.ensure_packages({"no-such-runc": "runc-of-nowhere", "sh": "dash"})
        assert (tmp_path / "calls").read_text().splitlines() == [
            f"{as_always} update",
            f"{as_always} install --yes --no-install-recommends runc-of-nowhere",
        ]


def test_processes_that_install_at_the_same_time_wait_for_each_other(apt, tmp_path):
    """An apt that refuses to run twice, as the real one does for its lists."""
    apt(
        f"mkdir {tmp_path}/busy || exit 100\nsleep 0.2\nrmdir {tmp_path}/busy\n"
        f'case "$*" in *install*) ln -sf /bin/sh {tmp_path}/no-such-runc;; esac\n'
    )
    with ThreadPoolExecutor() as pool:
        wanted = {"no-such-runc": "runc-of-nowhere"}
        for each in [pool.submit(host.ensure_packages, wanted) for _ in range(3)]:
            each.result()


def test_a_full_disk_is_found_before_anything_starts(tmp_path):
    host.require_room([(tmp_path / "not" / "made", 1)])
    with pytest.raises(errors.HostUnfit, match=r"GB free, .* are needed") as refused:
        host.require_room([(tmp_path, 10**18)])
    assert "XDG_STATE_HOME" in refused.value.way_out


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a/b", "..", "x" * 41])
def test_names_that_no_cluster_can_have(name):
    with pytest.raises(errors.ClusterError, match="can't name a cluster"):
        settings.check_name(name)


@pytest.mark.parametrize(
    ("environment", "field", "value"),
    [
        ({}, "name", "fairlead"),
        ({"FAIRLEAD_CLUSTER": "mine"}, "name", "mine"),
        ({"HOME": "/home/a"}, "cache_dir", Path("/home/a/.cache/fairlead")),
        ({"XDG_CACHE_HOME": "/big"}, "cache_dir", Path("/big/fairlead")),
        ({}, "state_dir", Path("/var/lib/fairlead")),
        ({"XDG_STATE_HOME": "/big"}, "state_dir", Path("/big/fairlead")),
        ({"FAIRLEAD_CONTEXT": "gke"}, "context", "gke"),
        ({"FAIRLEAD_CONTEXT": ""}, "context", None),
        ({"FAIRLEAD_REGISTRY": "r.io/x"}, "registry", "r.io/x"),
        ({"FAIRLEAD_SLOT": "5"}, "slot", 5),
        ({}, "slot", None),
    ],
)
def test_settings_come_from_the_environment(environment, field, value):
    assert getattr(settings.load(environment), field) == value


@pytest.mark.parametrize("slot", ["x", "-1", "1.5"])
def test_a_slot_that_is_no_number_is_refused(slot):
    with pytest.raises(errors.ClusterError, match="FAIRLEAD_SLOT"):
        settings.load({"FAIRLEAD_SLOT": slot})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--name", "never-was"], "there is no cluster never-was"),
        (["kubeconfig", "--name", "never-was"], "make it with `fairlead-cluster up`"),
        (["up", "--name", "Bad_Name"], "can't name a cluster"),
        (["build", "no-such-program"], "no such program: no-such-program"),
    ],
)
def test_the_command_line_fails_with_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert __main__.main(arguments) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert said.startswith("fairlead-cluster: ")


@pytest.mark.parametrize("verb", ["up", "down", "status", "load", "kubeconfig", "logs", "build"])
def test_every_verb_explains_itself(capsys, verb):
    with pytest.raises(SystemExit) as ended:
        __main__.main([verb, "--help"])
    assert ended.value.code == 0
    assert "--name" in capsys.readouterr().out


HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
cgroup /mnt/elsewhere cgroup rw,cpu 0 0
"""


def test_every_hierarchy_of_the_machine_is_found():
    assert [str(path) for path in cgroups._hierarchies(HYBRID)] == [
        "/sys/fs/cgroup/cpu",
        "/sys/fs/cgroup/unified",
    ]


def test_the_group_is_below_every_hierarchy(tmp_path):
    group = cgroups.Cgroup("fairlead-one", (tmp_path / "cpu", tmp_path / "cpuset"))
    for hierarchy in group.hierarchies:
        hierarchy.mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    group.create()
    group.create()
    assert [folder.is_dir() for folder in group.folders()] == [True, True]
    assert group.process_files()[0] == tmp_path / "cpu/fairlead-one/system/cgroup.procs"


def test_version_2_hands_the_processors_down_and_favours_our_programs(tmp_path):
    group = cgroups.Cgroup("fairlead-one", (tmp_path,))
    system = tmp_path / "fairlead-one" / cgroups.SYSTEM
    system.mkdir(parents=True)
    (tmp_path / "fairlead-one/cgroup.controllers").write_text("cpuset cpu io\n")
    (system / "cpu.weight").write_text("100\n")
    group.create()
    assert (tmp_path / "fairlead-one/cgroup.subtree_control").read_text() == "+cpu"
    assert int((system / "cpu.weight").read_text()) > 100


MOUNTS = """\
1 0 8:1 / / rw - ext4 /dev/a rw
2 1 0:1 / /var/lib/fairlead/one/kubelet rw - tmpfs t rw
3 2 0:1 / /var/lib/fairlead/one/kubelet/pods/a\\040b rw - tmpfs t rw
4 1 0:1 / /var/lib/fairlead/one-more/x rw - tmpfs t rw
"""


def test_mounts_are_undone_from_the_youngest_and_of_this_cluster_only():
    assert teardown.mounts_below(Path("/var/lib/fairlead/one"), MOUNTS) == [
        "/var/lib/fairlead/one/kubelet/pods/a b",
        "/var/lib/fairlead/one/kubelet",
    ]


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([], False),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "DiskPressure", "status": "True"}], False),
        ([{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}], True),
    ],
    ids=["none", "not-ready", "lost", "another-condition", "ready"],
)
def test_readiness_of_a_node(conditions, ready):
    assert simulated.is_ready({"status": {"conditions": conditions}}) is ready


def test_kernel_objects_are_named_after_the_cluster():
    where = layout.Layout("one", Path("/state/one"))
    assert where.kernel_name == "fairlead-one"
    assert where.namespace_file == Path("/run/netns/fairlead-one")
    assert where.node_name == "one-node"


@pytest.mark.parametrize(
    ("status", "available"),
    [
        pytest.param(None, False, id="missing"),
        pytest.param({}, False, id="new"),
        pytest.param({"observedGeneration": 1, "availableReplicas": 1}, False, id="old-template"),
        pytest.param(
            {"observedGeneration": 1, "availableReplicas": 1, "updatedReplicas": 1},
            False,
            id="not-observed",
        ),
        pytest.param(
            {"observedGeneration": 2, "availableReplicas": 1, "updatedReplicas": 1},
            True,
            id="serves",
        ),
    ],
)
def test_a_deployment_counts_when_its_newest_version_serves(status, available):
    deployment = None
    if status is not None:
        metadata, spec = {"generation": 2}, {"replicas": 1}
        deployment = {"metadata": metadata, "spec": spec, "status": status}
    assert addons.is_available(deployment) is available
