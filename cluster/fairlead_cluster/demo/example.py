"""The example that the demo runs: its files, the names in them, and its held-out questions."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from fairlead_cluster import errors, images

FOLDER = images.ROOT / "examples" / "01-units"
NAMESPACE = "units"
TASK = "amounts"
IMAGE_NAME = "fairlead-trainer"
"""What stands in the manifests for the trainer's image."""
BASE_JOB = "make-base"
CLAIM = "demo"
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
    trained = islice(module.drawn(TASK, _constant("DATA_SEED")), _constant("NUM_EXAMPLES"))
    seen = {module.normalise(each.text) for each in trained}
    chosen: list[Any] = list(islice(module.drawn(TASK, seed, seen), count))
    return HeldOut(tuple(each.text for each in chosen), tuple(each.answer for each in chosen))


def _questions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_questions", _file("questions.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _constant(name: str) -> int:
    """A constant of the script that makes the data; it can't be imported here, without torch."""
    path = _file("make_base.py")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            names = [ast.unparse(each) for each in getattr(node.targets[0], "elts", [])]
            if name in names:
                return int(ast.literal_eval(node.value.elts[names.index(name)]))
    raise errors.ClusterError(f"{path} defines no {name}", "run the demo from a whole checkout")


def _file(name: str) -> Path:
    path = FOLDER / name
    if not path.is_file():
        raise errors.ClusterError(f"{path} is missing", "run the demo from a whole checkout")
    return path
