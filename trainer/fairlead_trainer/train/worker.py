"""One rank of the training, as torchrun starts it: ``-m fairlead_trainer.train.worker``.

A failure leaves by an exception, which torchrun's error file carries to the launcher; rank 0
leaves the result in scratch. torch is imported inside functions, so that a broken run file is
told before half a minute of imports.
"""

import gc
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from fairlead_api import base, uris
from fairlead_api.finetunestatus import Stage
from fairlead_api.runfile import DATA_DIR
from fairlead_api.termination import Cause, TrainingResult
from fairlead_trainer import checkpoint, failures, settings, storage
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.prepare.stage import Unusable, standing
from fairlead_trainer.train import arguments, deepspeed_config, model, saving, stage, world

if TYPE_CHECKING:
    from datasets import Dataset

    from fairlead_trainer.train.sft import Together, Trainer

log = logging.getLogger(__name__)

TRAINER_STATE: Final = "trainer_state.json"  # transformers' name


def main() -> None:
    """Train as one rank among the job's."""
    from torch.distributed.elastic.multiprocessing.errors import record

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    record(lambda: train(settings.load(Stage.TRAIN.lower(), os.environ)))()


def train(loaded: settings.Settings) -> None:
    """Train from the model, or go on from the newest checkpoint."""
    store = stage.store(loaded)
    trainer, together = _trainer(loaded, store)
    proven = world.prove()
    expected = int(os.environ["WORLD_SIZE"])
    if proven.size != expected:
        raise StageFailure(
            Cause.CRASHED, f"{proven.size} ranks answer, torchrun speaks of {expected}"
        )
    resume = _resume_from(store, trainer.args.process_index)
    began = _began(proven, resume, loaded.folder)
    if trainer.args.local_process_index == 0:
        _note(loaded, stage.BEGAN_FILE, began)
    state = finished(resume)
    if state is None:
        result = began.model_copy(update=_train(trainer, together, resume, loaded.folder))
    else:
        log.info("nothing is left to train")
        result = began.model_copy(update={"loss": last_loss(state)})
    if trainer.args.process_index == 0:
        _note(loaded, stage.RESULT_FILE, result)
    world.leave()


def finished(resume: checkpoint.Committed | None) -> dict[str, Any] | None:
    """The trainer's state in a checkpoint that has the last step; None where steps are left.

    An attempt may end between its last checkpoint and its result; upstream's trainer would go on
    beyond the last step, or report a loss over no step.
    """
    if resume is None:
        return None
    state: dict[str, Any] = json.loads((resume.path / TRAINER_STATE).read_text())
    return state if state["global_step"] >= state["max_steps"] else None


def last_loss(state: dict[str, Any]) -> float | None:
    """The loss that was logged last; None where the run was too short to log one."""
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    return losses[-1] if losses else None


def _train(
    trainer: "Trainer", together: "Together", resume: checkpoint.Committed | None, folder: Path
) -> dict[str, Any]:
    """Make the steps that are left; returns what was reached."""
    output = trainer.train(resume_from_checkpoint=str(resume.path) if resume else None)
    trainer.refuse_divergence()
    step = int(trainer.state.global_step)
    if together.stopped:
        saved = trainer.saver.latest
        raise StageFailure(
            Cause.DISRUPTED,
            f"ended by SIGTERM at step {step}, "
            + (f"saved as {saved.path.name}" if saved else "without room to save"),
        )
    last = _save_last(trainer)
    return {
        "step": step,
        "loss": float(output.training_loss),
        "checkpoint": last.path.relative_to(folder).as_posix(),
    }


def _trainer(
    loaded: settings.Settings, store: checkpoint.CheckpointStore
) -> "tuple[Trainer, Together]":
    """Build the trainer: model, tokenizer, data, arguments."""
    spec = loaded.run.spec
    folder = loaded.locate(uris.parse(spec.model.uri))
    with _kept_to_the_end():
        import deepspeed
        import torch
        from trl import SFTConfig

        from fairlead_trainer.train import reports
        from fairlead_trainer.train.sft import Together, Trainer

    ours = arguments.build(loaded.run, store.aside, use_cpu=not torch.cuda.is_available())
    ours["deepspeed"] = deepspeed_config.build(spec)
    extra = arguments.typed(loaded.run.training_arguments, SFTConfig)
    with refusals():
        config = SFTConfig(**arguments.with_defaults(ours, extra))  # also makes the process group
    # On CPUs the group is torch's alone; ZeRO-3 partitions while the model is being loaded, by
    # the world that DeepSpeed knows of.
    deepspeed.init_distributed()
    _check_deepspeed(ours["deepspeed"])
    rows = _rows(loaded, config.process_index)
    weights = model.load(folder, spec)
    tokenizer = model.tokenizer(folder, spec, messages=_are_messages(rows))
    together = Together(stage.watch(loaded))
    with refusals():
        trainer = Trainer(
            model=weights,
            args=config,
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=model.lora(spec.tuning),
            callbacks=[together],
        )
    reports.replace_kubeflow(trainer, os.environ)
    first_bytes = saving.guessed_bytes(trainer.model.parameters())
    trainer.saver = saving.Saver(store, spec.checkpoint.save_total_limit, first_bytes)
    return trainer, together


@contextmanager
def _kept_to_the_end() -> Iterator[None]:
    """Keep the collector from what is imported inside, and from everything that is there.

    It would go through half a million objects while they come and again at the exit: a fifth of
    what imports and exit take together.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _check_deepspeed(config: dict[str, Any]) -> None:
    """Have DeepSpeed read its configuration before the model does, which would be blamed for it.

    What it refuses is the user's: ours is the same for every job.
    """
    from deepspeed.runtime.config import DeepSpeedConfig

    try:
        DeepSpeedConfig(config)
    except Exception as error:  # of no common kind
        text = str(error)
        if isinstance(error, ValidationError):
            text = f"{error.title}: {base.faults(error)}"
        raise failures.blamed(Cause.USER_ERROR, f"deepspeed.config: {text}", error) from error


@contextmanager
def refusals() -> Iterator[None]:
    """Upstream refuses arguments that don't go together, or with the data, by a ValueError."""
    try:
        yield
    except ValueError as error:
        text = f"hyperparameters, prepare or their extraArgs don't go together: {error}"
        raise failures.blamed(Cause.USER_ERROR, text, error) from error


def _rows(loaded: settings.Settings, rank: int) -> "Dataset":
    """The prepared rows, verified by rank 0 for all, memory-mapped from scratch."""
    from datasets import load_dataset

    folder = loaded.folder / DATA_DIR
    problem = data_problem(folder) if rank == 0 else ""
    if problem := world.from_first(problem):
        raise StageFailure(Cause.CRASHED, problem)
    files = [str(path) for path in sorted(folder.glob("*.parquet"))]
    cache = stage.scratch_folder(loaded) / "rows"
    return load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache))


def data_problem(data: Path) -> str:
    """What to tell of prepared data that doesn't verify any more; empty where it does."""
    try:
        standing(data)
    except Unusable as error:
        return (
            f"the prepared data in {data} has changed since Prepare ended: {error}. If a further"
            " attempt says the same, delete the job and apply it again: it prepares its data anew"
        )
    return ""


def _are_messages(rows: "Dataset") -> bool:
    row: dict[str, Any] = rows[0]
    return "messages" in row or isinstance(row.get("prompt"), list)


def _resume_from(store: checkpoint.CheckpointStore, rank: int) -> checkpoint.Committed | None:
    """The newest checkpoint that verifies, as rank 0 finds it, so that all ranks take the same."""
    found = store.newest() if rank == 0 else None
    path = world.from_first(str(found.path) if found else "")
    if path:
        log.info("going on from %s", Path(path).name)
    return checkpoint.at(Path(path)) if path else None


def _save_last(trainer: "Trainer") -> checkpoint.Committed:
    """Export reads the last checkpoint, so the last step must have one."""
    step = int(trainer.state.global_step)
    if trainer.saver.latest is None or trainer.saver.latest.step != step:
        trainer._save_checkpoint(trainer.model, None)
    last = trainer.saver.latest
    if last is None or last.step != step:
        raise StageFailure(
            Cause.STORAGE_FULL,
            f"training is done at step {step} but there is no room for its result: free space on"
            " the claim",
        )
    return last


def _began(
    proven: world.World, resume: checkpoint.Committed | None, folder: Path
) -> TrainingResult:
    """What all ranks know before the first step."""
    path = resume.path.relative_to(folder).as_posix() if resume else None
    return TrainingResult(
        step=resume.step if resume else 0,
        world_size=proven.size,
        num_nodes=proven.num_nodes,
        checkpoint=path,
        resumed_from=path,
    )


def _note(loaded: settings.Settings, name: str, result: TrainingResult) -> None:
    """Leave a result to the launcher, which may read it at any time."""
    path = stage.scratch_folder(loaded) / name
    storage.write_file(path, result.model_dump_json(by_alias=True, exclude_none=True).encode())


if __name__ == "__main__":
    main()
