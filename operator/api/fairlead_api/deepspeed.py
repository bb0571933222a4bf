"""Which keys of a raw DeepSpeed configuration users may not set, and how to find them.

The operator refuses such a job before it runs; the trainer checks once more before it merges.
A key is owned when a typed field of the spec or the trainer decides it, or when it would write,
read or listen outside the job's folder.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

OWNED: Final = frozenset(
    {
        # typed fields
        "train_batch_size",  # follows from the three below
        "train_micro_batch_size_per_gpu",  # hyperparameters.perDeviceTrainBatchSize
        "gradient_accumulation_steps",  # hyperparameters.gradientAccumulationSteps
        "zero_optimization.stage",  # deepspeed.zeroStage
        "bf16.enabled",  # hyperparameters.bf16
        "bfloat16",  # the former's old name
        "fp16.enabled",
        "amp",
        "optimizer.params.lr",  # hyperparameters.learningRate
        "scheduler",  # hyperparameters.lrSchedulerType, warmupRatio
        # the trainer's
        "checkpoint",
        "elasticity",
        "data_efficiency",
        "curriculum_learning",
        "autotuning",
        "nebula",
        # files and addresses
        "tensorboard",
        "wandb",
        "comet",
        "csv_monitor",
        "flops_profiler.output_file",
        "zero_optimization.offload_param.nvme_path",
        "zero_optimization.offload_optimizer.nvme_path",
        "hybrid_engine",
    }
)


def refused(config: Mapping[str, Any]) -> list[str]:
    """Dotted paths of the keys in ``config`` that its author may not set, sorted."""
    return sorted(path for path in _paths(config) if path in OWNED)


def _paths(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
