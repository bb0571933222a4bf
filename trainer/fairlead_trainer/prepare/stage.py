"""The Prepare stage: read every dataset, write one body of data, commit it whole.

The data folder appears by a rename, so a later attempt finds all of it or nothing.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from fairlead_api.artifact import ArtifactFile
from fairlead_api.base import StatusModel
from fairlead_api.finetunejob import DataFormat, Dataset
from fairlead_api.runfile import DATA_DIR
from fairlead_api.termination import Cause, PreparedData, Termination
from fairlead_trainer import basemodel, storage
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.prepare import parquet, reading, rows, sources
from fairlead_trainer.settings import Settings

log = logging.getLogger(__name__)

MANIFEST: Final = "MANIFEST.json"


class Manifest(StatusModel):
    """What the data folder holds."""

    prepared: PreparedData
    files: tuple[ArtifactFile, ...]


class Unusable(ValueError):
    """Prepared data that isn't there or doesn't verify; its text says why."""


def run(settings: Settings) -> Termination:
    """Prepare the data, or find it whole from an attempt that lost its result."""
    basemodel.check(settings)
    folder = settings.folder / DATA_DIR
    try:
        manifest = standing(folder)
    except Unusable as error:
        log.info("no prepared data to go on with: %s", error)
        storage.remove_tree(folder)
        manifest = _prepare(settings, folder)
    prepared = manifest.prepared
    log.info("%d rows, %s, %s", prepared.num_rows, prepared.format, prepared.digest)
    return Termination(
        cause=Cause.SUCCEEDED,
        message=f"{prepared.num_rows} rows of format {prepared.format}",
        stage=settings.stage,
        attempt=settings.attempt,
        prepared=prepared,
    )


def standing(folder: Path) -> Manifest:
    """The data that is there and verifies; raises Unusable, and leaves alone what doesn't."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise Unusable(f"{MANIFEST}: {error}") from error
    problem = storage.mismatch(folder, manifest.files)
    if problem is not None:
        raise Unusable(problem)
    return manifest


def _prepare(settings: Settings, folder: Path) -> Manifest:
    aside = storage.make_folder(settings.folder) / f".{DATA_DIR}-a{settings.attempt}"
    storage.remove_tree(aside)
    aside.mkdir()
    try:
        prepared = _write(settings, aside)
        files = tuple(storage.file_record(aside, path) for path in storage.files_below(aside))
        manifest = Manifest(prepared=prepared, files=files)
        storage.write_file(aside / MANIFEST, manifest.model_dump_json(by_alias=True).encode())
        storage.sync_tree(aside)
        storage.move_folder(aside, folder)
    finally:
        storage.remove_tree(aside)
    return manifest


def _write(settings: Settings, folder: Path) -> PreparedData:
    """Write every row; the first one decides the shape that all must have."""
    normal = _rows(settings)
    first = next(normal, None)
    if first is None:
        raise StageFailure(Cause.DATASET_ERROR, "the datasets have no rows")
    shape, first_row = first[1]
    with parquet.ShardWriter(folder, shape) as writer:
        writer.write(first_row)
        for (source, number), (other, row) in normal:
            if other is not shape:
                raise source.refuse(
                    number, f"is {other}, but the first row of all is {shape}; don't mix formats"
                )
            writer.write(row)
    return PreparedData(digest=writer.digest, num_rows=writer.num_rows, format=shape.data_format)


_Place = tuple[sources.Source, int]
_Row = tuple[rows.Shape, dict[str, Any]]


def _rows(settings: Settings) -> Iterator[tuple[_Place, _Row]]:
    """Every row of every dataset with where it stands."""
    for dataset in settings.run.spec.datasets:
        num_rows = 0
        for entry in _of_dataset(dataset, settings):
            num_rows += 1
            yield entry
        if num_rows == 0:
            raise StageFailure(Cause.DATASET_ERROR, f"dataset {dataset.name}: it has no rows")


def _of_dataset(dataset: Dataset, settings: Settings) -> Iterator[tuple[_Place, _Row]]:
    format_ = dataset.format
    for source in sources.of_dataset(dataset, settings):
        for number, row in reading.rows(source):
            try:
                if format_ is DataFormat.AUTO:
                    format_ = rows.detect(row)
                yield (source, number), rows.normalise(row, format_)
            except rows.RowError as error:
                raise source.refuse(number, str(error)) from error
