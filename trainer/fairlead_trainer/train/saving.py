"""Saving inside a training run: written aside by the trainer, committed by rank 0.

Callable from all ranks together only. A disk without room for the next checkpoint is noticed
before anything is written, since a rank that fails half way would leave the others waiting in
DeepSpeed's barriers; training then goes on and says so.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from fairlead_api.termination import Cause
from fairlead_trainer import storage
from fairlead_trainer.checkpoint import CheckpointStore, Committed
from fairlead_trainer.failures import name_cause
from fairlead_trainer.train import world

log = logging.getLogger(__name__)

_STATE_BYTES: Final = 12  # of a trained weight: its fp32 master and two moments
_SLACK: Final = 1.1


def guessed_bytes(weights: Iterable[Any]) -> int:
    """What a checkpoint takes at most: each trained weight twice, as safetensors and DeepSpeed's.

    A weight that ZeRO-3 keeps in parts is empty on each rank and has its size in ``ds_numel``.
    """
    return sum(
        getattr(weight, "ds_numel", weight.numel()) * (2 * weight.element_size() + _STATE_BYTES)
        for weight in weights
        if weight.requires_grad
    )


class Saver:
    """Commits this attempt's checkpoints, and knows when there is no room for one."""

    def __init__(
        self,
        store: CheckpointStore,
        keep: int,
        expected_bytes: int,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self.store = store
        self.latest: Committed | None = None
        """What was committed last; the same on all ranks."""
        self._keep = keep
        self._expected_bytes = expected_bytes  # a guess at first, then as measured
        self._free_bytes = free_bytes

    def has_room(self, rank: int) -> bool:
        """Whether the next checkpoint fits; all ranks get the same answer."""
        full = rank == 0 and self._free_bytes(self.store.folder) < self._expected_bytes * _SLACK
        if not world.any_rank(full):
            return True
        if rank == 0:
            log.error(
                "storage is full: a checkpoint needs about %d MB; training goes on unsaved."
                " Free space on the claim, or lower checkpoint.saveTotalLimit",
                self._expected_bytes * _SLACK // 10**6,
            )
        return False

    def commit(self, written: Path, step: int, rank: int) -> None:
        """Commit what all ranks have written."""
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            storage.sync_tree(written)  # each node's own writes, before another one reads them
        world.barrier()
        problem = ""
        if rank == 0:
            try:
                self._commit(written, step)
            except Exception as error:  # told to all ranks, so that none waits for this one
                problem = f"{type(error).__name__}: {error}"
        problem = world.from_first(problem)
        if not problem:
            self.latest = self.store.own(step)
            return
        if name_cause(problem)[0] is not Cause.STORAGE_FULL:
            raise RuntimeError(problem)
        if rank == 0:
            log.error("storage is full: no checkpoint of step %d; training goes on", step)
            storage.remove_tree(written)

    def _commit(self, written: Path, step: int) -> None:
        committed = self.store.commit(written, step)
        self._expected_bytes = sum(
            path.stat().st_size for path in storage.files_below(committed.path)
        )
        self.store.prune(self._keep)
        log.info("checkpoint %s is committed", committed.path.name)
