"""How files become durable on a POSIX file system: write aside, fsync, rename, fsync the folder.

Knows nothing of what it stores. A reader sees the old state or the new one, never half of it,
whenever the writer is killed. Files are made readable by every user (0644, 0755): the server
runs as somebody else.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from fairlead_api.artifact import ArtifactFile

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
REMOVED: Final = ".removed-"
_CHUNK_BYTES: Final = 1 << 20


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make a file's content durable, whoever wrote it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> Path:
    """Make a folder with its parents, all of them durable and readable."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)  # another worker of the job may be as quick
        fsync_folder(path.parent)
    return folder


def write_file(path: Path, content: bytes) -> None:
    """Put a whole file in place of an older one, or of none."""
    make_folder(path.parent)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(FILE_MODE)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    fsync_folder(path.parent)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in the order of their relative paths."""
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    yield from sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def sync_tree(folder: Path) -> None:
    """Make everything below a folder durable and readable by every user."""
    for path in files_below(folder):
        path.chmod(FILE_MODE)
        fsync_file(path)
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        inner.chmod(FOLDER_MODE)
        fsync_folder(inner)


def move_folder(source: Path, target: Path) -> None:
    """Rename a synced folder to where readers look; the target must not exist."""
    make_folder(target.parent)
    source.rename(target)
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def remove_tree(path: Path) -> None:
    """Remove a file or folder; one that isn't there is fine, another error isn't.

    It is renamed first: nobody sees half of it, and others may remove it as well, or still write
    below its name. A kill leaves it behind under a name that begins with ``REMOVED``.
    """
    doomed = path.with_name(f"{REMOVED}{uuid.uuid4().hex}")
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return
    if doomed.is_symlink() or doomed.is_file():
        doomed.unlink(missing_ok=True)
    while doomed.exists():
        with suppress(FileNotFoundError):  # somebody else clears what they think was left
            shutil.rmtree(doomed)


def file_record(folder: Path, path: Path) -> ArtifactFile:
    """Size and digest of one file, named relative to its folder."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return ArtifactFile(
        path=path.relative_to(folder).as_posix(),
        size_bytes=path.stat().st_size,
        digest=f"sha256:{digest.hexdigest()}",
    )


def mismatch(folder: Path, files: Iterable[ArtifactFile]) -> str | None:
    """Say which recorded file is missing or differs; None where all are as recorded.

    Sizes of all files come first, since they cost nothing.
    """
    files = tuple(files)
    for file in files:
        path = folder / file.path
        if not path.is_file():
            return f"{file.path} is missing"
        if (size := path.stat().st_size) != file.size_bytes:
            return f"{file.path} has {size} bytes, not {file.size_bytes}"
    for file in files:
        if file_record(folder, folder / file.path).digest != file.digest:
            return f"{file.path} differs from its digest"
    return None
