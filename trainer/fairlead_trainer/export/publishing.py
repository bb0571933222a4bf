"""An artifact becomes visible: recorded, verified, then renamed to where readers look.

Plain Python over ``storage``; whoever sees the folder sees all of it, with artifact.json.
"""

from pathlib import Path

from fairlead_api import uris
from fairlead_api.artifact import ARTIFACT_FILE, Artifact, ArtifactRecord, content_digest
from fairlead_api.termination import Cause
from fairlead_trainer import storage
from fairlead_trainer.export.selection import Kind
from fairlead_trainer.failures import StageFailure


def record(
    folder: Path, uri: uris.ClaimUri, kind: Kind, base_model: str, dataset_digest: str
) -> ArtifactRecord:
    """Describe the files of a folder; raises StageFailure for one that no artifact may hold."""
    paths = [path for path in storage.files_below(folder) if path.name != ARTIFACT_FILE]
    for path in paths:
        if path.is_symlink() or path.suffix in (".bin", ".pt", ".pth", ".pkl", ".pickle"):
            raise StageFailure(Cause.CRASHED, f"{path.name} has no place in an artifact")
    files = tuple(storage.file_record(folder, path) for path in paths)
    return ArtifactRecord(
        uri=str(uri),
        digest=content_digest(files),
        size_bytes=sum(file.size_bytes for file in files),
        kind=kind,
        base_model=base_model,
        dataset_digest=dataset_digest,
        files=files,
    )


def publish(aside: Path, target: Path, written: ArtifactRecord) -> None:
    """Make a recorded folder the artifact, in place of one that doesn't verify."""
    content = written.model_dump_json(by_alias=True, indent=2).encode()
    storage.write_file(aside / ARTIFACT_FILE, content)
    storage.sync_tree(aside)
    problem = storage.mismatch(aside, written.files)
    if problem:  # a file system that lies is found here, not by the server
        raise StageFailure(Cause.CRASHED, f"the artifact does not read back: {problem}")
    storage.remove_tree(target)
    storage.move_folder(aside, target)


def standing(target: Path) -> ArtifactRecord | None:
    """The artifact that an earlier attempt published, where it verifies."""
    path = target / ARTIFACT_FILE
    if not path.is_file():
        return None
    found = ArtifactRecord.model_validate_json(path.read_bytes())
    return found if storage.mismatch(target, found.files) is None else None


def head(written: ArtifactRecord) -> Artifact:
    """The record without its list of files, as it stands in a status."""
    return Artifact.model_validate(written.model_dump(exclude={"files"}))
