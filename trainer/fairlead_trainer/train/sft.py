"""TRL's SFTTrainer with our ways of saving, stopping and noticing numbers that aren't finite.

A leaf module: it imports torch, transformers and TRL at its top and is imported by the worker
only, inside a function.
"""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import SFTConfig, SFTTrainer

from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.train import cutting, world
from fairlead_trainer.train.launcher import Watch
from fairlead_trainer.train.saving import Saver

log = logging.getLogger(__name__)


class Trainer(SFTTrainer):  # type: ignore[misc]  # untyped upstream
    """SFTTrainer whose checkpoints are committed by our store."""

    saver: Saver
    _finite: torch.Tensor | None = None

    def _prepare_dataset(
        self,
        dataset: Dataset,
        processing_class: Any,
        args: SFTConfig,
        packing: bool,
        formatting_func: Any,
        dataset_name: str,
    ) -> Dataset:
        """Tokenise, tell what the length limit cuts off, then let upstream cut and pack."""
        uncut = copy.copy(args)
        uncut.max_length, uncut.shuffle_dataset = None, False
        whole = super()._prepare_dataset(
            dataset, processing_class, uncut, False, formatting_func, dataset_name
        )
        problem = ""
        if args.process_index == 0:
            strategy = args.packing_strategy if packing else None
            keep = cutting.kept(args.max_length, args.truncation_mode, strategy)
            batches = whole.select_columns("labels").iter(batch_size=1000)
            cut = cutting.measure((row for batch in batches for row in batch["labels"]), keep)
            log.log(logging.WARNING if cut.num_cut or cut.num_mute else logging.INFO, "%s", cut)
            problem = cut.problem
        if problem := world.from_first(problem):
            raise StageFailure(Cause.DATASET_ERROR, problem)
        return super()._prepare_dataset(whole, processing_class, args, packing, None, dataset_name)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Train on a batch, and note on the device whether the loss is a number."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        finite = torch.isfinite(loss.detach()).all()
        self._finite = finite if self._finite is None else self._finite & finite
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Report, unless there is nothing worth reporting any more."""
        super().log(logs, *args, **kwargs)
        self.refuse_divergence()

    def refuse_divergence(self) -> None:
        """Raise StageFailure(Diverged) when a loss or a gradient since the start was no number.

        DeepSpeed skips a step whose gradients are not finite: the loss then stays where it is,
        and a run could end well without having learnt anything.
        """
        diverged = self._finite is not None and not bool(self._finite)
        if diverged or self.model_wrapped.skipped_steps:
            raise StageFailure(
                Cause.DIVERGED,
                f"the {'loss' if diverged else 'gradient'} is not a finite number by step"
                f" {self.state.global_step}: lower hyperparameters.learningRate, or look for"
                " broken rows in the data",
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.refuse_divergence()  # a broken model must not become the checkpoint to resume from
        rank = self.args.process_index
        if not self.saver.has_room(rank):
            return
        super()._save_checkpoint(model, trial)
        step = self.state.global_step
        written = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        self.saver.commit(written, step, rank)


class Together(TrainerCallback):  # type: ignore[misc]  # untyped upstream
    """Shows the launcher that steps are made, and ends all ranks at one step when one must end."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.stopped = False

    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """From here on a standstill is a stall, and a stop comes with a checkpoint."""
        self.watch.heartbeat.touch()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Agree with the other ranks whether to go on."""
        self.watch.heartbeat.touch()
        if state.global_step < state.max_steps and world.any_rank(self.watch.stop.exists()):
            log.info("a worker was told to end: saving at step %d", state.global_step)
            self.stopped = True
            control.should_save = True
            control.should_training_stop = True
