"""Whether a model folder may be served: the checks that run before vLLM does.

Reads the folder and nothing else; every refusal names a file and the way out. With an artifact
record, each byte that is served has the digest which the FineTuneJob's status shows.
"""

import logging
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fairlead_api.artifact import ARTIFACT_FILE, ArtifactFile, ArtifactRecord, content_digest
from fairlead_api.termination import Cause
from fairlead_server import contents, digests
from fairlead_server.refusal import StartRefused

_MAX_FILES: Final = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checked:
    """What was found to be in order."""

    num_files: int
    size_bytes: int
    digest: str
    """The artifact's digest; empty where no record says what the files should be."""


def check(folder: Path, mount: Path, expected_digest: str) -> Checked:
    """Check a model's folder inside its claim's mount; raises StartRefused."""
    if not folder.is_dir():
        raise StartRefused(
            Cause.MODEL_ERROR,
            f"{folder} is not a folder of the claim: check the path in spec.model.uri, and that "
            "the model was copied or trained there",
        )
    try:
        return _check(folder, mount.resolve(), expected_digest)
    except OSError as error:
        raise StartRefused(
            Cause.MODEL_ERROR,
            f"{error.filename or folder} cannot be read ({error.strerror or error}): make it "
            "readable for the server's user, and check the claim's storage",
        ) from error


def _check(folder: Path, mount: Path, expected_digest: str) -> Checked:
    if not folder.resolve().is_relative_to(mount):
        raise _refused(f"{folder} leads out of its claim: name the folder itself in spec.model.uri")
    files = dict(_files(folder, mount))
    for name, path in files.items():
        contents.check_file(path, name)
    record = _read_record(folder, expected_digest)
    if record is not None and record.kind == "Adapter":
        raise _refused(
            f"{ARTIFACT_FILE} says that {folder} holds a LoRA adapter, not a whole model: train "
            "with spec.output.mergeAdapter: true"
        )
    contents.check_configs(folder)
    if not any(name.endswith(contents.WEIGHTS_SUFFIX) for name in files):
        raise _refused(f"{folder} holds no *.safetensors: convert the weights to safetensors")
    if record is None:
        size_bytes = sum(path.stat().st_size for path in files.values())
        return Checked(len(files), size_bytes, digest="")
    return _verify(files, record)


def _refused(message: str) -> StartRefused:
    return StartRefused(Cause.ARTIFACT_REFUSED, message)


def _files(folder: Path, mount: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of every file below; refuses what is neither file nor folder, or outside."""
    pending, num_files = [folder], 0
    while pending:
        for path in sorted(pending.pop().iterdir()):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                _check_link(path, name, mount)
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                pending.append(path)
                continue
            if not stat.S_ISREG(mode):
                raise _refused(f"{name} is neither a file nor a folder: remove it")
            num_files += 1
            if num_files > _MAX_FILES:
                raise _refused(f"more than {_MAX_FILES} files: point spec.model.uri at one model")
            yield name, path


def _check_link(path: Path, name: str, mount: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(mount):
        raise _refused(
            f"{name} is a link out of the claim (to {target}): put the file itself there"
        )
    if not target.exists():
        raise _refused(f"{name} is a link to nothing: copy the model with the files it links to")
    if target.is_dir():
        raise _refused(f"{name} is a link to a folder: copy the folder itself")


def _read_record(folder: Path, expected_digest: str) -> ArtifactRecord | None:
    path = folder / ARTIFACT_FILE
    if not path.exists():
        if not expected_digest:
            return None
        raise _refused(
            f"{ARTIFACT_FILE} is missing in {folder}, but the model was pinned as "
            f"{expected_digest}: run the FineTuneJob again"
        )
    try:
        record = ArtifactRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _refused(
            f"{ARTIFACT_FILE} is not an artifact record ({error.error_count()} problems, first: "
            f"{error.errors()[0]['msg']}): run the FineTuneJob again"
        ) from error
    actual = content_digest(record.files)
    for other, where in ((record.digest, "its own head"), (expected_digest, "the ModelService")):
        if other and other != actual:
            raise _refused(
                f"{ARTIFACT_FILE} lists files with digest {actual}, but {where} says {other}: "
                "the artifact was changed after training, run the FineTuneJob again"
            )
    return record


def _verify(files: dict[str, Path], record: ArtifactRecord) -> Checked:
    """Compare every file with the record, sizes first because they cost nothing."""
    recorded = {file.path: file for file in record.files}
    present = files.keys() - {ARTIFACT_FILE}
    if unknown := sorted(present - recorded.keys()):
        raise _refused(f"{unknown[0]} is not in {ARTIFACT_FILE}: remove it, or train again")
    if missing := sorted(recorded.keys() - present):
        raise _refused(f"{missing[0]} is in {ARTIFACT_FILE} but missing: run the FineTuneJob again")
    names = sorted(recorded)
    for name in names:
        _compare_size(recorded[name], files[name].stat().st_size)
    logger.info("checking digests of %d files, %d bytes", len(names), record.size_bytes)
    for name, measured in zip(names, digests.measure([files[n] for n in names]), strict=True):
        _compare_size(recorded[name], measured.size_bytes)
        if measured.digest != recorded[name].digest:
            raise _refused(
                f"{name} has {measured.digest}, {ARTIFACT_FILE} says {recorded[name].digest}: "
                "the file was changed or damaged after training, run the FineTuneJob again"
            )
    return Checked(len(names), sum(recorded[n].size_bytes for n in names), record.digest)


def _compare_size(recorded: ArtifactFile, size_bytes: int) -> None:
    if size_bytes != recorded.size_bytes:
        raise _refused(
            f"{recorded.path} has {size_bytes} bytes, {ARTIFACT_FILE} says "
            f"{recorded.size_bytes}: the file was changed or cut short after training, run the "
            "FineTuneJob again"
        )
