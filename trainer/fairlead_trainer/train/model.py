"""The model and tokenizer to start from: read from a folder, never from a hub, never by its code.

torch and transformers are imported inside functions.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fairlead_api.finetunejob import DataFormat, FineTuneJobSpec, Tuning
from fairlead_api.termination import Cause
from fairlead_trainer import failures
from fairlead_trainer.failures import StageFailure

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(folder: Path, spec: FineTuneJobSpec) -> "PreTrainedModel":
    """Load the weights; bfloat16 only where the run computes in it."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if spec.hyperparameters.bf16 else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise failures.blamed(
            Cause.MODEL_ERROR, f"model.uri {spec.model.uri} cannot be loaded: {error}", error
        ) from error


def tokenizer(folder: Path, spec: FineTuneJobSpec, messages: bool) -> "PreTrainedTokenizerBase":
    """Load the tokenizer; rows that are messages need its chat template."""
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise failures.blamed(
            Cause.MODEL_ERROR, f"model.uri {spec.model.uri}: no usable tokenizer: {error}", error
        ) from error
    if messages and not loaded.chat_template:
        raise StageFailure(
            Cause.USER_ERROR,
            f"the rows are messages, but the tokenizer of {spec.model.uri} has no chat template;"
            f" add chat_template.jinja there, or use rows of format {DataFormat.PROMPT_COMPLETION}"
            " or Text",
        )
    return loaded


def lora(tuning: Tuning) -> "LoraConfig | None":
    """The configuration of the adapters; None where every weight is trained."""
    if tuning.type != "LoRA":
        return None
    from peft import LoraConfig

    rank = tuning.r or 16
    return LoraConfig(
        r=rank,
        lora_alpha=tuning.lora_alpha or 2 * rank,
        lora_dropout=tuning.lora_dropout or 0.0,
        target_modules=tuning.target_modules or "all-linear",
        task_type="CAUSAL_LM",
    )
