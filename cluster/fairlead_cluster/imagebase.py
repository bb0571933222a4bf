"""A base image without a registry: Debian bookworm with Python, made by debootstrap.

It is what `python:3.11-slim-bookworm` is elsewhere: certificates, python3 and its venv module,
no documentation. Needs root. Made once; the engine's local store keeps it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from fairlead_cluster import commands, errors, host, imageengine, imagehost, progress

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
USUAL_SECONDS = 60
KEYWORD = "debootstrap"
"""What a user writes in place of a base image's name to have this one."""
_EMPTIED = (
    "debootstrap",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
)
_DOCKERFILE = """\
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
"""


def key() -> str:
    """Key of the image: suite, packages and what is left out."""
    facts = repr((SUITE, PACKAGES, _EMPTIED, _DOCKERFILE))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def ensure(engine: imageengine.Engine, reference: str, log: Path) -> None:
    """Make the image unless the local store has it.

    Raises:
        HostUnfit: Without root.
        CommandFailed: When Debian's archive can't be reached.
    """
    if engine.has(reference):
        return
    if os.geteuid() != 0:
        raise errors.HostUnfit(
            "making a base image by debootstrap needs root",
            "run as root, or name a base image: --base-image python:3.11-slim-bookworm",
        )
    host.ensure_packages({"debootstrap": "debootstrap", "tar": "tar"})
    with (
        progress.step("make the base image with debootstrap", USUAL_SECONDS),
        tempfile.TemporaryDirectory(dir="/var/tmp", prefix="fairlead-base-") as scratch,
    ):
        _make(engine, reference, Path(scratch), log)


def _make(engine: imageengine.Engine, reference: str, scratch: Path, log: Path) -> None:
    root, context = scratch / "rootfs", scratch / "context"
    context.mkdir()
    mirror = imagehost.debian_mirror()
    commands.run(
        [
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            SUITE,
            root,
            mirror,
        ],
        what=f"fetch Debian {SUITE} from {mirror}",
        way_out="check the network to that mirror, or name a base image with --base-image",
    )
    (root / "etc/apt/sources.list").write_text(sources(mirror))
    for name in _EMPTIED:
        empty(root / name)
    commands.run(
        ["tar", "--sort=name", f"--mtime=@{imageengine.FIXED_TIME}", "--numeric-owner"]
        + ["-C", str(root), "-cf", str(context / "rootfs.tar"), "."],
        what="pack the base image",
        way_out="free some space below /var/tmp",
    )
    (context / "Dockerfile").write_text(f"# debootstrap of {SUITE}\n{_DOCKERFILE}")
    engine.build(
        imageengine.Build(
            reference=reference,
            dockerfile=context / "Dockerfile",
            target="",
            context=context,
            arguments={},
            secrets={},
            log=log,
        )
    )


def sources(mirror: str) -> str:
    """Write Debian's package sources: the release, its updates and its security fixes."""
    security = mirror.removesuffix("/debian") + "/debian-security"
    return (
        f"deb {mirror} {SUITE} main\n"
        f"deb {mirror} {SUITE}-updates main\n"
        f"deb {security} {SUITE}-security main\n"
    )


def empty(folder: Path) -> None:
    """Remove what is in a folder and keep the folder."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
