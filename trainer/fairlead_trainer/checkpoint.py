"""Checkpoints that are whole or absent, whenever a process, pod or node dies.

A checkpoint is written aside by whoever trains, then committed: files synced, a manifest with
sizes and digests, a rename, ``latest`` last. The attempt's number fences: once a newer attempt
has claimed the folder, an older one that is still alive cannot commit. Reading takes the newest
checkpoint that verifies, else the one before. Another kind of storage would bring another class
with the same methods; this one is for POSIX file systems. Layout::

    fence                      number of the newest attempt that has claimed the folder
    latest                     name of the checkpoint committed last (for people and tools)
    step-00000120-a2/          a committed checkpoint, with MANIFEST.json
    .aside-a2/                 what attempt 2 is writing
    .removed-…                 what was being removed
"""

import fcntl
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fairlead_api.artifact import ArtifactFile
from fairlead_api.base import StatusModel
from fairlead_api.termination import Cause
from fairlead_trainer import storage
from fairlead_trainer.failures import StageFailure

log = logging.getLogger(__name__)

MANIFEST: Final = "MANIFEST.json"
LATEST: Final = "latest"
FENCE: Final = "fence"
_LOCK: Final = ".lock"
_NAME: Final = re.compile(r"step-(?P<step>\d{8,})-a(?P<attempt>\d+)")
_ASIDE: Final = re.compile(r"\.aside-a(?P<attempt>\d+)")


class Manifest(StatusModel):
    """What a committed checkpoint holds."""

    step: int
    attempt: int
    files: tuple[ArtifactFile, ...]


@dataclass(frozen=True, order=True)
class Committed:
    """A committed checkpoint; orders by attempt, then step, so the newest is the greatest."""

    attempt: int
    step: int
    path: Path


class CheckpointStore:
    """The checkpoints of one job, as one attempt sees them."""

    def __init__(self, folder: Path, attempt: int) -> None:
        self.folder = folder
        self.attempt = attempt
        self._passed_over: set[Path] = set()

    @property
    def aside(self) -> Path:
        """Folder in which this attempt writes what isn't committed yet."""
        return self.folder / f".aside-a{self.attempt}"

    def claim(self) -> None:
        """Fence off older attempts and clear what they left half written.

        All pods of an attempt do so at the same time, before any of them writes.
        """
        storage.make_folder(self.folder)
        with self._locked():
            self._refuse_if_fenced()
            storage.write_file(self.folder / FENCE, str(self.attempt).encode())
        for path in self.folder.iterdir():
            found = _ASIDE.fullmatch(path.name)
            is_left = found is not None and int(found["attempt"]) <= self.attempt
            if is_left or path.name.startswith(storage.REMOVED):
                storage.remove_tree(path)

    def commit(self, written: Path, step: int) -> Committed:
        """Make a checkpoint that was written aside the newest one.

        Raises StageFailure(Fenced) where a newer attempt has claimed the folder.
        """
        committed = self.own(step)
        files = tuple(
            storage.file_record(written, path)
            for path in storage.files_below(written)
            if path.name != MANIFEST
        )
        manifest = Manifest(step=step, attempt=self.attempt, files=files)
        storage.write_file(written / MANIFEST, manifest.model_dump_json(by_alias=True).encode())
        storage.sync_tree(written)
        with self._locked():
            self._refuse_if_fenced()
            # The same step again, after a failure behind its rename.
            storage.remove_tree(committed.path)
            storage.move_folder(written, committed.path)
            storage.write_file(self.folder / LATEST, committed.path.name.encode())
        return committed

    def own(self, step: int) -> Committed:
        """What this attempt's checkpoint of a step is, once it is committed."""
        path = self.folder / f"step-{step:08}-a{self.attempt}"
        return Committed(attempt=self.attempt, step=step, path=path)

    def committed(self) -> list[Committed]:
        """Every committed checkpoint, newest first, unverified."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(filter(None, map(at, paths)), reverse=True)

    def newest(self) -> Committed | None:
        """The newest checkpoint that verifies; broken ones are named in the log."""
        for checkpoint in self.committed():
            problem = problem_with(checkpoint.path)
            if problem is None:
                return checkpoint
            log.warning("checkpoint %s is passed over: %s", checkpoint.path.name, problem)
            self._passed_over.add(checkpoint.path)
        return None

    def prune(self, keep: int) -> None:
        """Remove all but the newest checkpoints; one that was passed over as broken goes too."""
        committed = self.committed()
        good = [found for found in committed if found.path not in self._passed_over]
        for checkpoint in set(committed) - set(good[:keep]):
            storage.remove_tree(checkpoint.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep the fence and the rename behind it together, between attempts."""
        with (self.folder / _LOCK).open("ab") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield

    def _refuse_if_fenced(self) -> None:
        try:
            newest = int((self.folder / FENCE).read_text())
        except FileNotFoundError:
            return
        if newest > self.attempt:
            raise StageFailure(
                Cause.FENCED,
                f"attempt {newest} has taken over; attempt {self.attempt} steps back",
            )


def at(path: Path) -> Committed | None:
    """The committed checkpoint that a folder is by its name; None for any other folder."""
    name = _NAME.fullmatch(path.name)
    return Committed(int(name["attempt"]), int(name["step"]), path) if name else None


def problem_with(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint; None where it verifies."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        return f"{MANIFEST}: {error}"
    return storage.mismatch(folder, manifest.files)
