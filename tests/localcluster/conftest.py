"""Real clusters for these tests, brought up by the tool itself and gone afterwards."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from fairlead_cluster import cluster, down, settings, up


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
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()
