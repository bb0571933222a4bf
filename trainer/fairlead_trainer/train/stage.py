"""The Train stage as one pod sees it: claim the checkpoints, run torchrun, name the end.

One rank of each pod notes in scratch what training began with; the rank that is 0 over all pods
leaves its result there, and its pod publishes it.
"""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from fairlead_api.runfile import CHECKPOINTS_DIR
from fairlead_api.termination import Cause, Termination, TrainingResult
from fairlead_trainer import basemodel
from fairlead_trainer.checkpoint import CheckpointStore
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.settings import Settings
from fairlead_trainer.train import deepspeed_config, elastic, launcher

log = logging.getLogger(__name__)

WORKER: Final = "fairlead_trainer.train.worker"
SCRATCH: Final = "fairlead-train"
RESULT_FILE: Final = "result.json"
BEGAN_FILE: Final = "began.json"
HEARTBEAT_FILE: Final = "heartbeat"
STOP_FILE: Final = "stop"
ERROR_FILE: Final = "error.json"
STALL_SECONDS: Final = 3600.0  # without a step; collectives give up earlier
SAVE_SECONDS: Final = 70.0  # with torchrun's own 30 s within the pod's grace period
PEER_WAIT_SECONDS: Final = 10.0  # for the pod that knows the cause to end first


def run(settings: Settings) -> Termination:
    """Train in this pod, together with the job's others."""
    check(settings)
    store(settings).claim()
    scratch = fresh_scratch(settings)
    command = [sys.executable, "-m", "torch.distributed.run", "-m", WORKER]
    environment = os.environ | {elastic.ENV_ERROR_FILE: str(scratch / ERROR_FILE)}
    ended = launcher.run(command, environment, watch(settings))
    failure = elastic.failure(ended, scratch / ERROR_FILE)
    if failure is None:
        return _succeeded(settings, scratch / RESULT_FILE)
    if failure.cause is Cause.PEER_LOST:
        log.warning("%s; ending in %d s", failure.message, PEER_WAIT_SECONDS)
        if launcher.wait_for_sigterm(PEER_WAIT_SECONDS):
            log.info("told to end while waiting")
    raise StageFailure(
        failure.cause, failure.message, training=_reached(settings, scratch / BEGAN_FILE)
    )


def check(settings: Settings) -> None:
    """Refuse what cannot be trained before torch is loaded."""
    basemodel.check(settings)
    deepspeed_config.build(settings.run.spec)


def store(settings: Settings) -> CheckpointStore:
    """The job's checkpoints as this attempt sees them."""
    return CheckpointStore(settings.folder / CHECKPOINTS_DIR, settings.attempt)


def scratch_folder(settings: Settings) -> Path:
    """Where the ranks of this pod and the launcher leave each other files."""
    return settings.scratch / f"{SCRATCH}-{settings.node_rank}"


def watch(settings: Settings) -> launcher.Watch:
    """How the launcher and this pod's ranks know of each other."""
    scratch = scratch_folder(settings)
    return launcher.Watch(
        heartbeat=scratch / HEARTBEAT_FILE,
        stop=scratch / STOP_FILE,
        stall_seconds=STALL_SECONDS,
        save_seconds=SAVE_SECONDS,
    )


def fresh_scratch(settings: Settings) -> Path:
    """The scratch folder without an earlier run's files."""
    folder = scratch_folder(settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _succeeded(settings: Settings, result_file: Path) -> Termination:
    training = _noted(result_file)
    if settings.publishes and training is None:
        raise StageFailure(Cause.CRASHED, "torchrun ended well but rank 0 left no result")
    return Termination(
        cause=Cause.SUCCEEDED,
        stage=settings.stage,
        attempt=settings.attempt,
        training=training,
    )


def _reached(settings: Settings, began_file: Path) -> TrainingResult | None:
    """What training has saved by now, by which the operator tells progress from none.

    Nothing is verified anew: what this attempt committed was hashed then, and what it began with
    was verified before. An older attempt's newest may be one that was passed over.
    """
    began = _noted(began_file)
    if began is None:
        return None
    newest = next(iter(store(settings).committed()), None)
    if newest is None or newest.attempt != settings.attempt:
        return began
    path = newest.path.relative_to(settings.folder).as_posix()
    return began.model_copy(update={"step": newest.step, "checkpoint": path})


def _noted(file: Path) -> TrainingResult | None:
    """What a rank left in scratch."""
    return TrainingResult.model_validate_json(file.read_bytes()) if file.is_file() else None
