"""The trainer's arguments: typed fields and extraArgs as keyword arguments of SFTConfig.

Pure; the values of extraArgs are texts until ``typed`` gives them the types that the
configuration class declares. Which names are allowed at all is the operator's to say; a name
that repeats what we set is refused here as well, whoever let it through.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter, ValidationError

from fairlead_api.runfile import RunFile
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure

LOGGING_STEPS: Final = 5


def build(run: RunFile, output_folder: Path, *, use_cpu: bool) -> dict[str, Any]:
    """What typed fields decide."""
    spec, hyper = run.spec, run.spec.hyperparameters
    return {
        "output_dir": str(output_folder),
        "num_train_epochs": hyper.num_train_epochs,
        "max_steps": hyper.max_steps or -1,
        "learning_rate": hyper.learning_rate,
        "lr_scheduler_type": hyper.lr_scheduler_type,
        "warmup_steps": hyper.warmup_ratio,  # a share where below 1
        "per_device_train_batch_size": hyper.per_device_train_batch_size,
        "gradient_accumulation_steps": hyper.gradient_accumulation_steps,
        "gradient_checkpointing": hyper.gradient_checkpointing,
        "bf16": hyper.bf16,
        "seed": hyper.seed,
        "max_length": spec.prepare.max_length,
        "packing": spec.prepare.packing,
        "save_strategy": "steps",
        "save_steps": spec.checkpoint.save_steps,
        "save_total_limit": None,  # our store prunes what is committed
        "report_to": "none",  # KubeflowCallback registers itself by its environment
        "logging_nan_inf_filter": False,  # a loss that isn't a number ends the run, it isn't hidden
        "use_cpu": use_cpu,
        "disable_tqdm": True,
    }


def with_defaults(ours: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Our arguments, extraArgs, and defaults that extraArgs may replace."""
    repeated = sorted(set(ours) & set(extra))
    if repeated:
        raise StageFailure(
            Cause.USER_ERROR,
            f"hyperparameters.extraArgs.{repeated[0]} repeats what a typed field decides;"
            " remove it",
        )
    return {"logging_steps": LOGGING_STEPS} | dict(extra) | ours


def typed(extra: Mapping[str, str], config_class: type) -> dict[str, Any]:
    """The values of extraArgs with the types that the configuration declares."""
    fields = {field.name for field in dataclasses.fields(config_class)}
    hints = get_type_hints(config_class)
    values = {}
    for name, text in extra.items():
        where = f"hyperparameters.extraArgs.{name}"
        if name not in fields:
            raise StageFailure(
                Cause.USER_ERROR, f"{where}: {config_class.__name__} has no such argument"
            )
        try:
            values[name] = TypeAdapter(hints[name]).validate_strings(text)
        except ValidationError as error:
            expected = error.errors()[0]["msg"]
            raise StageFailure(Cause.USER_ERROR, f"{where}={text!r}: {expected}") from error
    return values
