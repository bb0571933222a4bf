"""Real clusters for these tests, brought up by the tool itself and gone afterwards."""

import contextlib
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairlead_cluster import cgroups, cluster, down, settings, state, up


@pytest.fixture(scope="session")
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")


def settings_of(name: str) -> settings.Settings:
    return dataclasses.replace(settings.load(), name=name, slot=None)


@pytest.fixture(scope="session")
def fresh(as_root) -> Iterator[Callable[[str], settings.Settings]]:
    """Settings of a cluster that is not there yet, and is gone at the end."""
    made = []

    def make(name: str) -> settings.Settings:
        chosen = settings_of(name)
        down.down(chosen)
        made.append(chosen)
        return chosen

    yield make
    for chosen in made:
        down.down(chosen)


@pytest.fixture(scope="session")
def with_node(fresh) -> cluster.Cluster:
    """A cluster with a real node and no add-ons: its pods run the pause image.

    The node comes after the simulated ones, as in a cluster that was a control plane at first.
    """
    chosen = fresh("fl-test-node")
    up.up(chosen, up.Wanted(control_plane_only=True, num_simulated_gpu_nodes=2))
    return up.up(chosen, up.Wanted(with_addons=False))


@pytest.fixture
def start_up() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin an `up` in a process of its own, to be killed."""
    begun = []

    def begin(name: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fairlead_cluster", "up", "--name", name, *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def quickest() -> Callable[..., float]:
    """Seconds that an action takes at its best, of eight times: other work only adds to them."""

    def measured(
        action: Callable[[], object], enough: float, before: Callable[[], object] = lambda: None
    ) -> float:
        best = math.inf
        for _ in range(8):
            before()
            began = time.monotonic()
            action()
            best = min(best, time.monotonic() - began)
            if best < enough:
                break
        return best

    return measured


@pytest.fixture(scope="session")
def machine() -> Callable[[str], dict[str, object]]:
    """What a cluster could leave on the machine; others may come and go meanwhile."""
    return on_the_machine


@pytest.fixture(scope="session")
def traces() -> Callable[[str], list[str]]:
    """Everything that carries the name of a cluster."""
    return traces_of


def on_the_machine(name: str) -> dict[str, object]:
    links = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True)
    names = {link["ifname"] for link in json.loads(links.stdout)}
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    return {
        "links": {link for link in names if not re.fullmatch(r"fl[0-9a-f]{8}", link)},
        "cni": {path.name for path in Path("/var/lib/cni").rglob("*") if may_be(name, path.name)},
        "logs": logs_of(name),
        "shims": {path.name for path in Path("/run/containerd").rglob("*")},
        "firewall": rules.count("\n-A "),
    }


def logs_of(name: str) -> set[str]:
    """Containers' logs that may be of the cluster; another's kubelet may remove one meanwhile."""
    found = set()
    for link in Path("/var/log/containers").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if may_be(name, str(link.readlink())):
                found.add(link.name)
    return found


def may_be(name: str, text: str) -> bool:
    """Tell whether a path holds the cluster's name, or no cluster's at all."""
    return name in text or "fairlead" not in text


def traces_of(name: str) -> list[str]:
    where = state.layout_of(settings_of(name).state_dir, name)
    found = [
        str(path) for path in (where.root, where.sockets, where.namespace_file) if path.exists()
    ]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{name}/" in line]
    found += [str(folder) for folder in cgroups.of(where.kernel_name).folders() if folder.exists()]
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True)
    found += [line for line in links.stdout.splitlines() if where.host_device in line]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            if f"/fairlead/{name}/" in command:
                found.append(command)
    return found
