"""DeepSpeed's configuration: what typed fields decide, with the user's raw one merged over it.

Pure. A raw key that a typed field owns is refused with the field's name: two homes for one fact
would silently win over each other.
"""

from typing import Any

from fairlead_api import deepspeed
from fairlead_api.finetunejob import FineTuneJobSpec
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure


def build(spec: FineTuneJobSpec) -> dict[str, Any]:
    """The whole configuration; raises StageFailure(UserError) for a key that isn't the user's."""
    raw = spec.deepspeed.config
    for path in deepspeed.refused(raw):
        raise StageFailure(
            Cause.USER_ERROR, f"deepspeed.config.{path}: {deepspeed.OWNED[path]}; remove it"
        )
    hyper = spec.hyperparameters
    micro = hyper.per_device_train_batch_size
    world_size = spec.num_nodes * spec.processes_per_node
    ours: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": hyper.gradient_accumulation_steps,
        "train_batch_size": micro * hyper.gradient_accumulation_steps * world_size,
        "gradient_clipping": "auto",
        "bf16": {"enabled": hyper.bf16},
        "zero_optimization": {"stage": spec.deepspeed.zero_stage},
        # The optimizer is transformers' AdamW: DeepSpeed's own compiles at first use.
        "zero_allow_untested_optimizer": True,
        "wall_clock_breakdown": False,
        "steps_per_print": 10**9,
    }
    if spec.deepspeed.zero_stage == 3:
        ours["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    return merged(ours, raw)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Both configurations as one; where both have a value, `over` has the word."""
    result = dict(base)
    for key, value in over.items():
        mine = result.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            value = merged(mine, value)
        result[key] = value
    return result
