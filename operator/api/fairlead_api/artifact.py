"""The record of a trained model: what lies where, with digests, so that it can be verified.

Export writes it as ``artifact.json`` beside the files; the FineTuneJob's status carries its
head; the server checks every file against it before vLLM starts.
"""

import hashlib
import json
from typing import Annotated, Final, Literal

from pydantic import Field

from fairlead_api.base import StatusModel

ARTIFACT_FILE: Final = "artifact.json"
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class ArtifactFile(StatusModel):
    """One file of an artifact."""

    path: Annotated[str, Field(max_length=256)]
    """Relative to the artifact's folder."""
    size_bytes: Annotated[int, Field(ge=0)]
    digest: Digest


class Artifact(StatusModel):
    """The head of an artifact, as it stands in a FineTuneJob's status."""

    uri: str
    """Folder that holds artifact.json and the files."""
    digest: Digest
    """sha256 over the sorted file records: one word for the whole content."""
    size_bytes: Annotated[int, Field(ge=0)]
    """Sum of the files' sizes."""
    kind: Literal["Model", "Adapter"]
    """A whole model, or a LoRA adapter that needs its base."""
    base_model: str
    """Uri of the model that the training started from."""
    dataset_digest: str
    """Digest of the prepared training data; empty where nothing was trained."""


class ArtifactRecord(Artifact):
    """The whole of artifact.json."""

    files: tuple[ArtifactFile, ...]


def content_digest(files: tuple[ArtifactFile, ...]) -> str:
    """The digest of a set of files, whatever their order."""
    rows = sorted((file.path, file.size_bytes, file.digest) for file in files)
    canonical = json.dumps(rows, separators=(",", ":")).encode()
    return "sha256:" + hashlib.sha256(canonical).hexdigest()
