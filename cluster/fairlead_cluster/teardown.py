"""Take a cluster down until nothing of it is left, whatever state it is in.

Everything is found by names that derive from the cluster's name, never by records: processes by
their cgroup, mounts by the folder, the network by its namespace. So it works after any crash.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from fairlead_cluster import cgroups, commands, layout, network, orchestration

_CONTAINER_LOGS = Path("/var/log/containers")
_CNI_RESULTS = Path("/var/lib/cni/results")
_WAY_OUT = "close what uses it (`lsof +D FOLDER`) and run `down` again"


def remove(where: layout.Layout) -> None:
    """Remove processes, network, mounts, cgroups and files of a cluster, in this order."""
    orchestration.end(where.airflow)  # the one process beside the cluster, not in its cgroup
    cgroup = cgroups.of(where.kernel_name)
    cgroup.remove()
    network.remove(where)
    unmount_below(where.root)
    _remove_container_log_links(where.pod_logs)
    for result in _CNI_RESULTS.glob(f"{where.kernel_name}-*"):
        result.unlink(missing_ok=True)
    for folder in (where.sockets, where.root):
        if folder.exists():
            shutil.rmtree(folder)


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """Mount points below a folder, the youngest first."""
    points = [_unescape(line.split()[4]) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if Path(point).is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    """Unmount everything below a folder."""
    for point in mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        commands.run(["umount", "--lazy", point], what=f"unmount {point}", way_out=_WAY_OUT)


def _unescape(point: str) -> str:
    return point.encode().decode("unicode_escape")


def _remove_container_log_links(pod_logs: Path) -> None:
    # The kubelet links every container's log here, and no setting moves it.
    if not _CONTAINER_LOGS.is_dir():
        return
    for link in _CONTAINER_LOGS.iterdir():
        with contextlib.suppress(FileNotFoundError):  # other clusters' kubelets tidy up as well
            if link.is_symlink() and link.readlink().is_relative_to(pod_logs):
                link.unlink()
