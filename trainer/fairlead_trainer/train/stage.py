"""The Train stage as one pod sees it: claim the checkpoints, run torchrun, name the end.

The rank that is 0 over all pods leaves its result in scratch; its pod publishes it.
"""

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from fairlead_api.runfile import CHECKPOINTS_DIR
from fairlead_api.termination import Cause, Termination, TrainingResult
from fairlead_trainer.checkpoint import CheckpointStore
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.settings import Settings
from fairlead_trainer.train import deepspeed_config, elastic, launcher

log = logging.getLogger(__name__)

WORKER: Final = "fairlead_trainer.train.worker"
SCRATCH: Final = "fairlead-train"
RESULT_FILE: Final = "result.json"
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
    raise failure


def check(settings: Settings) -> None:
    """Refuse what cannot be trained before torch is loaded."""
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
    if settings.publishes and not result_file.is_file():
        raise StageFailure(Cause.CRASHED, "torchrun ended well but rank 0 left no result")
    training = None
    if result_file.is_file():
        training = TrainingResult.model_validate(json.loads(result_file.read_text()))
    return Termination(
        cause=Cause.SUCCEEDED,
        stage=settings.stage,
        attempt=settings.attempt,
        training=training,
    )
