"""Which files of a checkpoint belong to an artifact: weights, configuration, tokenizer.

Copies files and decides nothing about their content. Optimizer states, random number states and
training arguments are pickles: they never leave the checkpoint.
"""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal

from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure

Kind = Literal["Model", "Adapter"]

ADAPTER_CONFIG: Final = "adapter_config.json"
_TOKENIZER: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_MODEL: Final = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
)
_ADAPTER: Final = (ADAPTER_CONFIG, "adapter_model.safetensors")


def kind_of(checkpoint: Path) -> Kind:
    """What a checkpoint's weights are."""
    return "Adapter" if (checkpoint / ADAPTER_CONFIG).is_file() else "Model"


def copy(source: Path, target: Path, kind: Kind) -> None:
    """Copy an artifact's files; raises StageFailure where weights or configuration miss."""
    patterns = (*_TOKENIZER, *(_MODEL if kind == "Model" else _ADAPTER))
    for path in sorted(source.iterdir()):
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in patterns):
            shutil.copyfile(path, target / path.name)
    needed = "config.json" if kind == "Model" else ADAPTER_CONFIG
    if not (target / needed).is_file() or not any(target.glob("*.safetensors")):
        raise StageFailure(
            Cause.CRASHED, f"{source.name} holds no {needed} or no safetensors to export"
        )


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer with its chat template."""
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def name_base(target: Path, uri: str) -> None:
    """Write the base model's uri into an adapter's configuration, in place of a pod's path."""
    path = target / ADAPTER_CONFIG
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = uri
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
