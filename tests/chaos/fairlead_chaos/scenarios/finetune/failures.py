"""FineTuneJobs whose attempts end badly by themselves: user errors, crashes, lost results.

An attempt that is tried again waits ten seconds first, the next time twenty: those that retry
take as long.
"""

from typing import Final

from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause
from fairlead_chaos.scenarios import ends
from fairlead_chaos.scenarios.jobs import Job, scenario


async def user_error(job: Job) -> None:
    """Ends at the first attempt: trying again would not mend the dataset."""
    await job.create()
    await job.fails(Cause.DATASET_ERROR)


async def out_of_memory(job: Job) -> None:
    """A real failure, with no restart granted."""
    await job.create(maxRestarts=0)
    await job.fails(Cause.OUT_OF_MEMORY)


async def crashed(job: Job) -> None:
    """Crashes once and is tried again."""
    await job.create()
    await job.completes()


async def restarts_exhausted(job: Job) -> None:
    """Crashes once more than it may."""
    await job.create(maxRestarts=1)
    await job.fails(Cause.CRASHED)


async def export_failed(job: Job) -> None:
    """Export alone is tried again: what was trained stands."""
    await job.create()
    await job.completes()


async def result_lost(job: Job) -> None:
    """Prepare ends well without a word: it is run again, for its result."""
    await job.create()
    await job.completes()


async def peer_lost(job: Job) -> None:
    """A worker has lost the others: a disruption, which doesn't count."""
    await job.create(maxRestarts=0)
    await job.completes()


async def failed_recreated(job: Job) -> None:
    """Failed, deleted and made anew: the failure is forgotten, and comes again."""
    await job.create(maxRestarts=0)
    await job.fails(Cause.DIVERGED)
    await job.delete()
    await job.create(maxRestarts=0, hyperparameters={"seed": 7})
    await job.fails(Cause.DIVERGED)


ALL: Final = (
    scenario(user_error, ends.fails(Stage.PREPARE, Cause.DATASET_ERROR)),
    scenario(out_of_memory, ends.prepared(), ends.fails(Stage.TRAIN, Cause.OUT_OF_MEMORY)),
    scenario(crashed, ends.all_well(train=2), ends.fails(Stage.TRAIN, Cause.CRASHED)),
    scenario(restarts_exhausted, ends.prepared(), ends.fails(Stage.TRAIN, Cause.CRASHED, 1, 2)),
    scenario(export_failed, ends.all_well(export=2), ends.fails(Stage.EXPORT, Cause.STORAGE_FULL)),
    scenario(result_lost, ends.all_well(prepare=2), ends.vanishes(Stage.PREPARE)),
    scenario(peer_lost, ends.all_well(train=2), ends.fails(Stage.TRAIN, Cause.PEER_LOST)),
    scenario(failed_recreated, ends.prepared(), ends.fails(Stage.TRAIN, Cause.DIVERGED)),
)
