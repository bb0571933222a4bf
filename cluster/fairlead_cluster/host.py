"""What the machine must have before a cluster can run: root, packages, room on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fairlead_cluster import commands, errors, progress, settings, state

PACKAGES: Mapping[str, str] = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "iptables": "iptables",
}
"""Programs, and files by their path, by the Debian package that carries them."""
BUILD_PACKAGES: Mapping[str, str] = {"gcc": "gcc", "/usr/include/stdio.h": "libc6-dev"}
"""What compiling needs beside Go."""
NODE_PACKAGES: Mapping[str, str] = {
    "runc": "runc",
    "conntrack": "conntrack",
    "mount": "mount",
}
APT_SECONDS = 300
"""For somebody else's apt to end: a new machine often updates itself."""
ROOM_BYTES = {"state": 2_000_000_000, "cache": 3_000_000_000}
"""Free bytes below which a start or a build would fail half way."""


def require_root(effective_user: int | None = None) -> None:
    """Refuse to go on without the rights to make namespaces and mounts."""
    if (os.geteuid() if effective_user is None else effective_user) != 0:
        raise errors.HostUnfit(
            "a cluster needs root (network namespaces, mounts, cgroups)",
            "run it with sudo, or set FAIRLEAD_CONTEXT to a cluster that you may use",
        )


def missing_packages(wanted: Mapping[str, str]) -> list[str]:
    """Debian packages of the programs that are not on PATH, and of the files that are missing."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"

    def is_there(name: str) -> bool:
        if name.startswith("/"):
            return Path(name).exists()
        return shutil.which(name, path=path) is not None

    return sorted({package for name, package in wanted.items() if not is_there(name)})


def ensure_packages(wanted: Mapping[str, str]) -> None:
    """Install what is missing with apt.

    Raises:
        HostUnfit: When apt is missing or can't install it.
    """
    missing = missing_packages(wanted)
    if not missing:
        return
    by_hand = f"install {' '.join(missing)} by hand and run the command again"
    if shutil.which("apt-get") is None:
        raise errors.HostUnfit(f"missing: {' '.join(missing)} (no apt-get here)", by_hand)
    if os.geteuid() != 0:
        raise errors.HostUnfit(f"missing: {' '.join(missing)} (only root may install it)", by_hand)
    busy = "  … another process installs packages"
    with state.lock(settings.load().state_dir, "apt", busy):
        if missing := missing_packages(wanted):
            _install(missing, by_hand)
    if still := missing_packages(wanted):
        raise errors.HostUnfit(f"still missing after apt: {' '.join(still)}", by_hand)


def _install(missing: Sequence[str], by_hand: str) -> None:
    apt = ("apt-get", "--quiet", f"-oDPkg::Lock::Timeout={APT_SECONDS}")
    with progress.step(f"install {' '.join(missing)} with apt", 30):
        for arguments in (("update",), ("install", "--yes", "--no-install-recommends", *missing)):
            commands.run(
                [*apt, *arguments],
                what=f"install {' '.join(missing)}",
                way_out=by_hand,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )


def require_room(folders: Iterable[tuple[Path, int]]) -> None:
    """Refuse to start what would fill the disk half way.

    Raises:
        HostUnfit: When a folder has less room than given.
    """
    for folder, num_bytes in folders:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < num_bytes:
            raise errors.HostUnfit(
                f"{existing} has {free / 1e9:.1f} GB free, {num_bytes / 1e9:.1f} GB are needed",
                "free some space, or set XDG_CACHE_HOME and XDG_STATE_HOME to a larger disk",
            )
