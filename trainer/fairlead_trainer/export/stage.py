"""The Export stage: the checkpoint that Train ended with becomes a published artifact."""

import logging
from pathlib import Path

from fairlead_api import uris
from fairlead_api.artifact import ArtifactRecord
from fairlead_api.finetunestatus import Stage
from fairlead_api.runfile import ARTIFACT_DIR
from fairlead_api.termination import Cause, Termination
from fairlead_trainer import checkpoint, storage
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
    trained = _trained(settings)
    aside = storage.make_folder(settings.folder) / f".{ARTIFACT_DIR}-a{settings.attempt}"
    storage.remove_tree(aside)
    aside.mkdir()
    try:
        kind = _collect(settings, trained, aside)
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


def _collect(settings: Settings, trained: Path, aside: Path) -> selection.Kind:
    """Bring the artifact's files together; returns what they are."""
    spec = settings.run.spec
    kind = selection.kind_of(trained)
    if kind == "Model":
        selection.copy(trained, aside, kind)
        return kind
    if not spec.output.merge_adapter:
        selection.copy(trained, aside, kind)
        selection.name_base(aside, spec.model.uri)
        return kind
    merging.merge(settings.locate(uris.parse(spec.model.uri)), trained, aside, spec)
    selection.copy_tokenizer(trained, aside)
    return "Model"


def _trained(settings: Settings) -> Path:
    """The checkpoint that Train ended with, and no other: an older one is less trained."""
    training = _told_by(Stage.TRAIN, settings).training
    if training is None or training.checkpoint is None:
        raise StageFailure(Cause.CRASHED, "Train's result tells of no checkpoint")
    path = settings.folder / training.checkpoint
    problem = checkpoint.problem_with(path)
    if problem is not None:
        raise StageFailure(
            Cause.CRASHED,
            f"{training.checkpoint}, which Train ended with, does not verify: {problem}. If a"
            " further attempt says the same, delete the job and apply it again",
        )
    return path


def _dataset_digest(settings: Settings) -> str:
    """The digest that Prepare told of its rows."""
    prepared = _told_by(Stage.PREPARE, settings).prepared
    if prepared is None:
        raise StageFailure(Cause.CRASHED, "Prepare's result tells of no prepared data")
    return prepared.digest


def _told_by(stage: Stage, settings: Settings) -> Termination:
    """An earlier stage's result in storage."""
    path = settings.locate(settings.run.result_file(stage))
    try:
        return Termination.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StageFailure(Cause.CRASHED, f"{stage}'s result is gone: {error}") from error
