"""The cgroup of a cluster in every hierarchy of the machine (v1, v2 and both at once).

Its uses: the kubelet puts all pods below it, pods under load leave our programs their share of
the processors, and `down` finds every process by it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import errors

SYSTEM = "system"
"""Child group of the programs that we start: version 2 wants processes in leaves only."""
_PATIENCE_SECONDS = 30.0
# The kubelet weighs all pods together by 1024 shares a processor (39 of version 2). Our programs
# get four times that, so that the API server answers whatever pods do: a handshake took over 10 s.
_PROCESSORS = os.cpu_count() or 1
_SYSTEM_WEIGHTS = {
    "cpu.shares": min(4 * 1024 * _PROCESSORS, 262144),
    "cpu.weight": min(4 * 39 * _PROCESSORS, 10000),
}
"""The share of the processors under load, by the file of each version; the kernel's maximum."""


@dataclass(frozen=True)
class Cgroup:
    """The group `name` at the root of every hierarchy."""

    name: str
    hierarchies: tuple[Path, ...]

    def folders(self) -> list[Path]:
        """The group in each hierarchy, existing or not."""
        return [hierarchy / self.name for hierarchy in self.hierarchies]

    def create(self) -> None:
        """Make the group everywhere, ready to hold processes."""
        for hierarchy in self.hierarchies:
            for folder in (hierarchy / self.name, hierarchy / self.name / SYSTEM):
                folder.mkdir(exist_ok=True)
                _inherit_cpuset(folder)
            _delegate_cpu(hierarchy / self.name)
            _weigh(hierarchy / self.name / SYSTEM)

    def process_files(self) -> list[Path]:
        """Files that a process writes its pid to in order to join."""
        return [folder / SYSTEM / "cgroup.procs" for folder in self.folders()]

    def processes(self) -> set[int]:
        """Every process of the cluster, pods included."""
        return {pid for folder in self.folders() for pid in _members(folder)}

    def remove(self) -> None:
        """Kill every process of the group, then remove the group itself.

        Raises:
            ComponentFailed: When a process can't be killed (it hangs in the kernel).
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while left := self._kill():
            if time.monotonic() > deadline:
                raise errors.ComponentFailed(
                    f"processes {sorted(left)} of {self.name} can't be killed",
                    "they wait in the kernel (`cat /proc/PID/stack`); run `down` again later",
                )
            time.sleep(0.05)
        for folder in self.folders():
            _remove_tree(folder, deadline)

    def _kill(self) -> set[int]:
        for folder in self.folders():
            # One write kills a whole tree at once, so nothing can fork away from us.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                (folder / "cgroup.kill").write_text("1")
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def of(name: str) -> Cgroup:
    """Find the hierarchies of this machine."""
    return Cgroup(name=name, hierarchies=tuple(_hierarchies(Path("/proc/mounts").read_text())))


def _hierarchies(mounts: str) -> Iterator[Path]:
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and point.startswith("/sys/fs/cgroup"):
            yield Path(point)


def _inherit_cpuset(folder: Path) -> None:
    # A new cpuset group of version 1 has no CPU and no memory, and takes no process until it has.
    for file in ("cpuset.cpus", "cpuset.mems"):
        path = folder / file
        if path.exists() and not path.read_text().strip():
            inherited = (folder.parent / file).read_text()
            if inherited.strip():
                path.write_text(inherited)


def _delegate_cpu(folder: Path) -> None:
    # Version 2 weighs the children of a group only where the group hands the controller down.
    controllers = folder / "cgroup.controllers"
    if controllers.exists() and "cpu" in controllers.read_text().split():
        (folder / "cgroup.subtree_control").write_text("+cpu")


def _weigh(folder: Path) -> None:
    for file, weight in _SYSTEM_WEIGHTS.items():
        if (folder / file).exists():
            (folder / file).write_text(str(weight))


def _members(folder: Path) -> Iterator[int]:
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(FileNotFoundError, OSError):
            yield from (int(pid) for pid in (Path(path) / "cgroup.procs").read_text().split())


def _remove_tree(folder: Path, deadline: float) -> None:
    while folder.exists():
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):  # busy until the kernel has reaped the last process
                os.rmdir(path)
        if time.monotonic() > deadline:
            raise errors.ComponentFailed(
                f"cgroup {folder} can't be removed", "run `down` again in a moment"
            )
        if folder.exists():
            time.sleep(0.05)
