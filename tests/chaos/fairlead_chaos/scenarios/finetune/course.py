"""FineTuneJobs that are left alone, suspended, resumed, or take their time: no faults, no foes."""

from typing import Final

from fairlead_api.conditions import FineTuneJobCondition
from fairlead_api.finetunestatus import Stage
from fairlead_chaos.scenarios import ends, jobs, manifests, neighbours, states
from fairlead_chaos.scenarios.jobs import Job, scenario


async def complete(job: Job) -> None:
    """Every stage runs once and ends well."""
    await job.create()
    await job.completes()


async def from_config_map(job: Job) -> None:
    """A LoRA on a ConfigMap's rows."""
    await job.hands.create(manifests.config_map("rows", **{"rows.jsonl": manifests.ROWS}))
    await job.create(
        datasets=[{"name": "rows", "configMapRef": {"name": "rows"}}],
        tuning={"type": "LoRA", "r": 4},
        hyperparameters={"maxSteps": 9, "learningRate": 0.0002},
        checkpoint={"saveSteps": 3},
    )
    await job.completes()


async def two_nodes(job: Job) -> None:
    """Two workers, on a claim that both may write."""
    await neighbours.claim(job.hands, "shared", "ReadWriteMany")
    await job.create(**jobs.two_nodes_on("shared"))
    await job.completes()


async def suspended_at_birth(job: Job) -> None:
    """Nothing runs before it may."""
    await job.create(suspend=True)
    await job.until(states.says(FineTuneJobCondition.SUSPENDED, "True"), "it is suspended")
    await job.resumed()
    await job.completes()


async def suspended(job: Job) -> None:
    """Suspended while it trains; resumed when its pods have gone."""
    await job.create()
    await job.trains()
    await job.suspended()
    await job.has_no_pods(Stage.TRAIN)
    await job.resumed()
    await job.completes()


async def suspended_twice(job: Job) -> None:
    """Resumed at once, each time: what is left of one attempt holds the next one back."""
    await job.create()
    for attempt in (1, 2):
        await job.trains(attempt)
        await job.suspended()
        await job.resumed()
    await job.completes()


async def suspended_in_prepare(job: Job) -> None:
    """Suspended before it holds any GPU; the next Prepare is its second."""
    await job.create()
    await job.until(states.is_at(Stage.PREPARE, 1), "it prepares")
    await job.suspended()
    await job.resumed()
    await job.completes()


async def deleted(job: Job) -> None:
    """Deleted while it trains: everything goes with it."""
    await job.create()
    await job.trains()
    await job.delete()
    await job.is_collected((Stage.PREPARE, 1), (Stage.TRAIN, 1))


async def deleted_suspended(job: Job) -> None:
    """Deleted while it is suspended, and nothing runs any more: else the collector may be first."""
    await job.create()
    await job.trains()
    await job.suspended()
    await job.has_no_pods(Stage.TRAIN)
    await job.delete()
    await job.is_collected((Stage.PREPARE, 1), (Stage.TRAIN, 1))


async def recreated(job: Job) -> None:
    """Deleted while it trains and made anew at once, with another spec.

    Names, attempts and claims are the same, the headless Service's too: nothing of the first job
    may be taken for the second's. It ends while the second one trains.
    """
    await neighbours.claim(job.hands, "shared", "ReadWriteMany")
    nodes = jobs.two_nodes_on("shared")
    await job.create(**nodes)
    await job.trains()
    await job.delete()
    await job.create(**nodes, hyperparameters={"maxSteps": 5, "seed": 7}, maxRestarts=1)
    await job.trains()


async def recreated_complete(job: Job) -> None:
    """Made anew after it was complete: all is done again, by the same names."""
    await job.create()
    await job.completes()
    await job.delete()
    await job.create()
    await job.completes()


ALL: Final = (
    scenario(complete, ends.all_well()),
    scenario(from_config_map, ends.all_well()),
    scenario(two_nodes, ends.all_well()),
    scenario(suspended_at_birth, ends.all_well()),
    scenario(suspended_in_prepare, ends.all_well(prepare=2)),
    scenario(suspended, ends.all_well(train=2)),
    scenario(suspended_twice, ends.all_well(train=3)),
    scenario(deleted, ends.prepared()),
    scenario(deleted_suspended, ends.prepared()),
    scenario(recreated, ends.prepared()),
    scenario(recreated_complete, ends.all_well()),
)
