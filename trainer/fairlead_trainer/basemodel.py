"""The model to start from, as far as its folder tells: checked before anything heavy is loaded.

Prepare and Train ask alike: a wrong path is told before an accelerator is waited for.
"""

import json
from pathlib import Path
from typing import Any

from fairlead_api import uris
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.settings import Settings


def check(settings: Settings) -> None:
    """Refuse a run whose model.uri leads to no model."""
    uri = settings.run.spec.model.uri
    check_folder(settings.locate(uris.parse(uri)), uri)


def check_folder(folder: Path, uri: str) -> None:
    """Refuse a folder that holds no model, before anything heavy is loaded."""
    if not folder.is_dir():
        raise StageFailure(Cause.MODEL_ERROR, f"model.uri {uri}: there is no such folder")
    if not (folder / "config.json").is_file():
        raise StageFailure(Cause.MODEL_ERROR, f"model.uri {uri}: config.json is missing")
    if not any(folder.glob("*.safetensors")):
        raise StageFailure(
            Cause.MODEL_ERROR,
            f"model.uri {uri}: no *.safetensors file; convert pickled weights (.bin, .pt) first",
        )
    try:
        config: Any = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise StageFailure(Cause.MODEL_ERROR, f"model.uri {uri}: config.json: {error}") from error
    if "auto_map" in config:
        raise StageFailure(
            Cause.MODEL_ERROR, f"model.uri {uri}: config.json asks to run code (auto_map)"
        )
