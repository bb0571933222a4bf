"""The trainer's callback that reports progress, in the place of transformers' KubeflowCallback.

A leaf module: it imports transformers at its top and is imported by the worker only, inside a
function.
"""

from collections.abc import Mapping
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import KubeflowCallback

from fairlead_trainer.train.progress import Endpoint, Messenger, Progress


class Reports(TrainerCallback):  # type: ignore[misc]  # untyped upstream
    """Reports as KubeflowCallback does, from rank 0, without a step that waits."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger
        self._progress = Progress()

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Report where this attempt begins."""
        if state.is_world_process_zero:
            self._progress.begin(state.global_step)
            self._messenger.tell(self._report(state))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Keep the newest loss and its companions for the next report."""
        self._progress.note(logs or {})

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Report the step."""
        if state.is_world_process_zero:
            self._messenger.tell(self._report(state))

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Report the end before the process goes."""
        if state.is_world_process_zero:
            self._messenger.close(self._report(state, ended=True))

    def _report(self, state: TrainerState, *, ended: bool = False) -> dict[str, Any]:
        return self._progress.report(state.global_step, state.max_steps, state.epoch, ended=ended)


def replace_kubeflow(trainer: Trainer, environment: Mapping[str, str]) -> None:
    """Report in our way where transformers has found an endpoint to report to."""
    if trainer.pop_callback(KubeflowCallback) is not None:
        trainer.add_callback(Reports(Messenger(Endpoint.of(environment))))
