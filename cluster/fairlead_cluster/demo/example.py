"""The example that the demo runs: its files, the names in them, and its held-out questions."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

from fairlead_cluster import errors, images

FOLDER = images.ROOT / "examples" / "01-units"
NAMESPACE = "units"
IMAGE_NAME = "fairlead-trainer"
"""What stands in the manifests for the trainer's image."""
BASE_JOB = "make-base"
FINE_TUNE_JOB = "units"
BASE_SERVICE = "base"
TUNED_SERVICE = "units"
MAX_TOKENS = 24
"""More than the longest right answer has."""


@dataclass(frozen=True)
class HeldOut:
    """Questions that the training data doesn't hold, with the only right answers."""

    texts: tuple[str, ...]
    right: tuple[str, ...]


def held_out(seed: int, count: int) -> HeldOut:
    """Draw questions of the task that the FineTuneJob teaches, none of them in its data."""
    module = _questions()
    trained = islice(module.drawn(module.TASK, module.DATA_SEED), module.NUM_EXAMPLES)
    seen = {module.normalise(each.text) for each in trained}
    chosen: list[Any] = list(islice(module.drawn(module.TASK, seed, seen), count))
    return HeldOut(tuple(each.text for each in chosen), tuple(each.answer for each in chosen))


def _questions() -> ModuleType:
    path = FOLDER / "questions.py"
    spec = importlib.util.spec_from_file_location("example_questions", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise errors.ClusterError(f"{path} is missing", "run the demo from a whole checkout")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
