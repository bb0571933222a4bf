"""The verbs as they are typed: what `up` asks of the machine and refuses, what `logs` shows."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairlead_cluster import __main__, host, state, status, toolchain


@pytest.fixture
def with_a_go(monkeypatch):
    """A machine that has a Go, which is never called."""
    go = toolchain.Go(program=Path("/no/where/go"), version="go1.26.8")
    monkeypatch.setattr(toolchain, "find_go", lambda _: go)


@pytest.fixture
def on_a_new_machine(with_a_go, monkeypatch, tmp_path):
    """Root with nothing built, whose apt gets nothing to do; what `up` asks of it is kept."""
    asked = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(host, "ensure_packages", lambda wanted: asked.append(dict(wanted)))
    monkeypatch.setenv("FAIRLEAD_PROVIDER", "embedded")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("FAIRLEAD_CONTEXT", raising=False)
    return asked


def free_bytes(count):
    return lambda _: SimpleNamespace(free=count)


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("target", "behaviour", "words"),
    [
        pytest.param("os.geteuid", lambda: 1000, ["needs root", "sudo"], id="no-root"),
        pytest.param(
            "shutil.disk_usage",
            free_bytes(1_000_000_000),
            ["has 1.0 GB free, 2.0 GB are needed", "XDG_STATE_HOME"],
            id="no-room-for-a-cluster",
        ),
        pytest.param(
            "shutil.disk_usage",
            free_bytes(2_500_000_000),
            ["has 2.5 GB free, 3.0 GB are needed", "XDG_CACHE_HOME"],
            id="no-room-for-builds",
        ),
        pytest.param(
            "fairlead_cluster.programs.Cache.build",
            no_space,
            ["can't bring up the cluster: the disk is full", "`go clean -cache`"],
            id="disk-full-on-the-way",
        ),
    ],
)
def test_up_fails_with_one_line_that_names_the_way_out(
    on_a_new_machine, monkeypatch, capsys, target, behaviour, words
):
    monkeypatch.setattr(target, behaviour)
    assert __main__.main(["up"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        pytest.param([], {"runc", "conntrack", "mount", "iproute2"}, id="node"),
        pytest.param(["--control-plane-only"], {"iproute2"}, id="control-plane-only"),
    ],
)
def test_up_asks_for_the_packages_that_its_cluster_needs(
    on_a_new_machine, monkeypatch, arguments, needed
):
    monkeypatch.setattr("shutil.disk_usage", free_bytes(0))
    assert __main__.main(["up", *arguments]) == 1
    (wanted,) = on_a_new_machine
    on_nodes_only = {"runc", "conntrack", "mount"}
    assert needed <= set(wanted.values())
    assert on_nodes_only & set(wanted.values()) == on_nodes_only & needed


@pytest.fixture
def with_log(with_a_go, monkeypatch, tmp_path):
    """A record of a cluster and the log of its etcd."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    where = state.layout_of(tmp_path / "fairlead", "one")
    state.write(where.state_file, state.State(name="one", slot=0))
    where.logs.mkdir(parents=True)
    (where.logs / "etcd.log").write_bytes(b"first\nno \xff text\nlast")


def test_logs_prints_the_log_of_a_component(with_log, capsys):
    assert __main__.main(["logs", "etcd", "--name", "one"]) == 0
    assert capsys.readouterr().out == "first\nno \ufffd text\nlast"


def test_logs_of_what_never_started_says_where_to_look(with_log, capsys):
    assert __main__.main(["logs", "kubelet", "--name", "one"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "kubelet never started; see `fairlead-cluster status`" in line


@pytest.mark.parametrize("words", [["logs", "kublet"], ["logs"], ["logs", "--help"]])
def test_logs_names_the_components_that_there_are(capsys, words):
    with pytest.raises(SystemExit) as ended:
        __main__.main(words)
    assert ended.value.code == (0 if "--help" in words else 2)
    said = "".join(capsys.readouterr())
    for name in (*status.CONTROL_PLANE, *status.NODE):
        assert name in said
