"""Keys of images: equal keys, equal images, so nothing is built or pushed twice.

A key covers the instructions that its target reaches, the files they copy, the build arguments
and the keys of the images below. It does not cover what a package index answers: locks with
hashes pin Python, and Debian's packages are as old as the image. Reads files, starts nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from fairlead_cluster import errors, imagefile

KEY_LENGTH = 16
_IGNORED_FOLDERS = {"__pycache__", ".venv", "tests"}
"""What `.dockerignore` keeps out of every build."""


def key(
    dockerfile: imagefile.Dockerfile,
    target: str,
    arguments: Mapping[str, str],
    fingerprints: Mapping[str, str],
) -> str:
    """Compute the key of one target.

    Args:
        dockerfile: The parsed file.
        target: The stage to build.
        arguments: Values of the build arguments; those that name an image carry its key.
        fingerprints: What each copied file is known by.
    """
    defaults = {name: dockerfile.arguments.get(name, "") for name in dockerfile.asked(target)}
    facts = {
        "stages": [
            [stage.name, stage.parent, *stage.lines] for stage in dockerfile.reached(target)
        ],
        "arguments": {**defaults, **arguments},
        "files": dict(fingerprints),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def fingerprints(dockerfile: imagefile.Dockerfile, target: str, context: Path) -> dict[str, str]:
    """Hash every file of the context that the target copies."""
    copied = {source for stage in dockerfile.reached(target) for source in stage.copied()}
    return {
        str(path.relative_to(context)): _fingerprint(path)
        for source in sorted(copied)
        for path in files(context, source)
    }


def files(context: Path, source: str) -> list[Path]:
    """List the files that a COPY of `source` takes, in a stable order.

    Raises:
        ImageMissing: When the context lacks it.
    """
    found = context / source
    if found.is_file():
        return [found]
    if not found.is_dir():
        raise errors.ImageMissing(
            f"a Dockerfile copies {source}, which {context} lacks", "restore it from git"
        )
    listed = sorted(path for path in found.rglob("*") if path.is_file())
    return [path for path in listed if not ignored(path.relative_to(context))]


def ignored(path: Path) -> bool:
    """Tell whether `.dockerignore` keeps a file out."""
    return (
        path.suffix == ".pyc"
        or not _IGNORED_FOLDERS.isdisjoint(path.parts)
        or any(part.endswith(".egg-info") for part in path.parts)
    )


def _fingerprint(path: Path) -> str:
    """Hash content and the one bit of the mode that an image keeps a difference for."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{digest} {'x' if path.stat().st_mode & 0o100 else '-'}"
