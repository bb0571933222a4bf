"""Which of upstream's training arguments a user may set by name.

The list holds what only tunes the numbers of a run. Never on it: what loads code or a hub's
files, opens a port or reports elsewhere, writes outside the job's folder, or repeats a typed
field. The administrator may extend it; a key of another meaning today can't slip in tomorrow,
since the list names what is allowed, not what is refused.
"""

from collections.abc import Iterable
from typing import Final

ALLOWED: Final = frozenset(
    {
        # optimizer and loss
        "optim", "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon",
        "max_grad_norm", "label_smoothing_factor", "neftune_noise_alpha", "lr_scheduler_kwargs",
        "average_tokens_across_devices", "loss_type", "router_aux_loss_coef",
        "assistant_only_loss", "completion_only_loss",
        # memory and speed
        "tf32", "gradient_checkpointing_kwargs", "activation_offloading", "torch_empty_cache_steps",
        "padding_free", "pad_to_multiple_of", "packing_strategy",
        # data
        "data_seed", "full_determinism", "shuffle_dataset", "truncation_mode", "eos_token",
        "pad_token", "train_sampling_strategy", "dataloader_drop_last", "dataloader_num_workers",
        "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
        # logging into the pod's own log
        "logging_steps", "logging_first_step", "log_level",
        "log_level_replica", "include_num_input_tokens_seen",
        # distribution
        "ddp_timeout", "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers",
        "ddp_static_graph",
    }
)  # fmt: skip


def refused(keys: Iterable[str], also_allowed: Iterable[str] = ()) -> list[str]:
    """The keys that stand on neither list, sorted."""
    return sorted(set(keys) - ALLOWED - set(also_allowed))
