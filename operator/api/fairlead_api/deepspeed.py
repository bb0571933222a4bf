"""Which keys of a raw DeepSpeed configuration users may not set, and how to find them.

The operator refuses such a job before it runs; the trainer checks once more before it merges.
A key is owned when a typed field of the spec or the trainer decides it, or when it would write,
read or listen outside the job's folder.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_OURS: Final = "decided by the trainer"
_ELSEWHERE: Final = "would write, read or listen outside the job's folder"
OWNED: Final[Mapping[str, str]] = {
    "train_batch_size": "decided by numNodes, numProcPerNode, perDeviceTrainBatchSize and"
    " gradientAccumulationSteps together",
    "train_micro_batch_size_per_gpu": "decided by hyperparameters.perDeviceTrainBatchSize",
    "gradient_accumulation_steps": "decided by hyperparameters.gradientAccumulationSteps",
    "gradient_clipping": "decided by hyperparameters.extraArgs.max_grad_norm",
    "zero_optimization.stage": "decided by deepspeed.zeroStage",
    "zero_optimization.stage3_gather_16bit_weights_on_model_save": "decided by what Export needs",
    "bf16": "decided by hyperparameters.bf16",
    "bfloat16": "decided by hyperparameters.bf16",  # the former's old name
    "fp16": "decided by hyperparameters.bf16",
    "amp": "decided by hyperparameters.bf16",
    "optimizer": "decided by hyperparameters",
    "scheduler": "decided by hyperparameters.lrSchedulerType and warmupRatio",
    "checkpoint": "decided by the checkpoint stanza",
    "elasticity": _OURS,
    "data_efficiency": _OURS,
    "curriculum_learning": _OURS,
    "autotuning": _OURS,
    "nebula": _OURS,
    "hybrid_engine": _OURS,
    "tensorboard": _ELSEWHERE,
    "wandb": _ELSEWHERE,
    "comet": _ELSEWHERE,
    "csv_monitor": _ELSEWHERE,
    "flops_profiler.output_file": _ELSEWHERE,
    "zero_optimization.offload_param.nvme_path": _ELSEWHERE,
    "zero_optimization.offload_optimizer.nvme_path": _ELSEWHERE,
}
"""Every such key by its dotted path, with the reason."""
MAX_LEVELS: Final = 16
"""Objects and lists in each other; DeepSpeed's own options have four."""
TOO_DEEP: Final = f"more than {MAX_LEVELS} objects and lists are in each other"
_LONGEST: Final = max(path.count(".") for path in OWNED)


def is_too_deep(config: Mapping[str, Any]) -> bool:
    """Whether objects and lists are in each other more often than ``MAX_LEVELS``."""
    level: list[Any] = [config]
    for _ in range(MAX_LEVELS):
        within = [inner for outer in level for inner in _values(outer)]
        level = [value for value in within if isinstance(value, Mapping | list)]
    return bool(level)


def _values(outer: Mapping[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, Mapping) else outer


def refused(config: Mapping[str, Any]) -> list[str]:
    """Dotted paths of the keys in ``config`` that its author may not set, sorted."""
    return sorted(path for path in _paths(config) if path in OWNED)


def _paths(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield prefix + key
        if isinstance(value, Mapping) and prefix.count(".") < _LONGEST:
            yield from _paths(value, f"{prefix}{key}.")
