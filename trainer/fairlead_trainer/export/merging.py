"""A LoRA adapter and its base as one model.

A leaf: torch, transformers and peft are imported inside the function.
"""

from pathlib import Path

from fairlead_api.finetunejob import FineTuneJobSpec
from fairlead_trainer.train import model


def merge(base: Path, adapter: Path, target: Path, spec: FineTuneJobSpec) -> None:
    """Write the base with the adapter's weights added in, as safetensors."""
    from peft import PeftModel

    loaded = model.load(base, spec)
    # Read straight from safetensors: peft must not fall back to a pickled file.
    adapted = PeftModel.from_pretrained(loaded, str(adapter), use_safetensors=True)
    adapted.merge_and_unload(safe_merge=True).save_pretrained(str(target))
