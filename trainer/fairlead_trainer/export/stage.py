"""The Export stage: last checkpoint, or prepared base and adapter, to a published artifact."""

import logging
from pathlib import Path

from fairlead_api import uris
from fairlead_api.artifact import ArtifactRecord
from fairlead_api.finetunestatus import Stage
from fairlead_api.runfile import ARTIFACT_DIR, CHECKPOINTS_DIR
from fairlead_api.termination import Cause, Termination
from fairlead_trainer import storage
from fairlead_trainer.checkpoint import CheckpointStore
from fairlead_trainer.export import merging, publishing, selection
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings) -> Termination:
    """Publish the artifact, or find it published by an attempt that lost its result."""
    target = settings.folder / ARTIFACT_DIR
    written = publishing.standing(target)
    if written is None:
        written = _export(settings, target)
    log.info("%s, %d bytes, %s", written.uri, written.size_bytes, written.digest)
    return Termination(
        cause=Cause.SUCCEEDED,
        message=f"{written.kind} at {written.uri}",
        stage=settings.stage,
        attempt=settings.attempt,
        artifact=publishing.head(written),
    )


def _export(settings: Settings, target: Path) -> ArtifactRecord:
    checkpoint = CheckpointStore(settings.folder / CHECKPOINTS_DIR, settings.attempt).newest()
    if checkpoint is None:
        raise StageFailure(Cause.CRASHED, "there is no checkpoint that verifies; train again")
    aside = storage.make_folder(settings.folder) / f".{ARTIFACT_DIR}-a{settings.attempt}"
    storage.remove_tree(aside)
    aside.mkdir()
    try:
        kind = _collect(settings, checkpoint.path, aside)
        written = publishing.record(
            aside,
            settings.run.folder / ARTIFACT_DIR,
            kind,
            base_model=settings.run.spec.model.uri,
            dataset_digest=_dataset_digest(settings),
        )
        publishing.publish(aside, target, written)
    finally:
        storage.remove_tree(aside)
    return written


def _collect(settings: Settings, checkpoint: Path, aside: Path) -> selection.Kind:
    """Bring the artifact's files together; returns what they are."""
    spec = settings.run.spec
    kind = selection.kind_of(checkpoint)
    if kind == "Model":
        selection.copy(checkpoint, aside, kind)
        return kind
    if not spec.output.merge_adapter:
        selection.copy(checkpoint, aside, kind)
        selection.name_base(aside, spec.model.uri)
        return kind
    merging.merge(settings.locate(uris.parse(spec.model.uri)), checkpoint, aside, spec)
    selection.copy_tokenizer(checkpoint, aside)
    return "Model"


def _dataset_digest(settings: Settings) -> str:
    """The digest that Prepare told of its rows."""
    path = settings.locate(settings.run.result_file(Stage.PREPARE))
    try:
        prepared = Termination.model_validate_json(path.read_bytes()).prepared
    except OSError as error:
        raise StageFailure(Cause.CRASHED, f"Prepare's result is gone: {error}") from error
    if prepared is None:
        raise StageFailure(Cause.CRASHED, f"{path.name} tells of no prepared data")
    return prepared.digest
