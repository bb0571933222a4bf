"""Which files a dataset consists of, and by what names messages speak of them.

Looks at folders and opens nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fairlead_api import runfile, uris
from fairlead_api.finetunejob import Dataset
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.settings import Settings

JSONL: Final = ".jsonl"
PARQUET: Final = ".parquet"
SUFFIXES: Final = (JSONL, PARQUET)


@dataclass(frozen=True)
class Source:
    """One file of a dataset."""

    dataset: str
    name: str
    """What messages call it: the path as the user gave it, or ``inline``."""
    suffix: str
    path: Path | None = None
    """Where it lies; None where the rows stand in the run file itself."""
    text: str = ""

    def refuse(self, line: int, expected: str) -> StageFailure:
        """The failure that names this file and one of its lines (rows, from 1)."""
        word = "line" if self.suffix == JSONL else "row"
        return StageFailure(
            Cause.DATASET_ERROR,
            f"dataset {self.dataset}, file {self.name}, {word} {line}: {expected}",
        )


def of_dataset(dataset: Dataset, settings: Settings) -> list[Source]:
    """Every file of a dataset in order of name; raises StageFailure where there is none."""
    if dataset.inline is not None:
        return [Source(dataset.name, "inline", JSONL, text=dataset.inline)]
    if dataset.config_map_ref is not None:
        folder = settings.path(runfile.config_dataset_dir(dataset.name))
        where = f"ConfigMap {dataset.config_map_ref.name}"
        return _of_folder(dataset.name, folder, where, (JSONL,))
    if dataset.uri is None:
        raise _refuse(dataset.name, "has neither uri, inline nor configMapRef")
    path = settings.locate(uris.parse(dataset.uri))
    if path.is_dir():
        return _of_folder(dataset.name, path, dataset.uri, SUFFIXES)
    if not path.is_file():
        raise _refuse(dataset.name, f"there is nothing at {dataset.uri}")
    if path.suffix not in SUFFIXES:
        raise _refuse(dataset.name, f"{dataset.uri} ends in neither .jsonl nor .parquet")
    return [Source(dataset.name, dataset.uri, path.suffix, path)]


def _of_folder(dataset: str, folder: Path, where: str, suffixes: tuple[str, ...]) -> list[Source]:
    """Files directly in a folder; hidden ones, as a ConfigMap's own, are passed over."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [path for path in found if path.suffix in suffixes and not path.name.startswith(".")]
    if not files:
        raise _refuse(dataset, f"{where} holds no file that ends in {' or '.join(suffixes)}")
    return [Source(dataset, f"{where}/{path.name}", path.suffix, path) for path in files]


def _refuse(dataset: str, problem: str) -> StageFailure:
    return StageFailure(Cause.DATASET_ERROR, f"dataset {dataset}: {problem}")
