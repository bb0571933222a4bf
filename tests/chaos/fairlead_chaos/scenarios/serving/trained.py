"""ModelServices that serve what a FineTuneJob of the same name has trained."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Final

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition, ModelServiceCondition, Reason
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause
from fairlead_chaos.scenario import Hands, Scenario
from fairlead_chaos.scenarios import ends, states
from fairlead_chaos.scenarios.ends import Fates
from fairlead_chaos.scenarios.jobs import Job
from fairlead_chaos.scenarios.services import Service
from fairlead_operator import kube


async def train_then_serve(job: Job, service: Service) -> None:
    """Served once trained; the job is deleted, and another revision still serves its model."""
    await job.create()
    await job.completes()
    await service.born(model=_of(job))
    await _discard(job)
    await service.rolled(engine={"maxModelLen": 64})


async def serve_then_train(job: Job, service: Service) -> None:
    """Asked to serve before there is a job: it waits for it, then for its end."""
    await service.create(model=_of(job))
    await service.says(ModelServiceCondition.READY, "False", Reason.JOB_NOT_FOUND)
    await job.create(suspend=True)
    await service.says(ModelServiceCondition.READY, "False", Reason.JOB_NOT_COMPLETE)
    # Else it is chance whether it says so before it goes on.
    await job.until(states.says(FineTuneJobCondition.SUSPENDED, "True"), "it is suspended")
    await job.resumed()
    await service.is_ready()


async def serve_untrained(job: Job, service: Service) -> None:
    """The job fails, is deleted, and what is asked to serve it waits for another."""
    await job.create()
    await service.create(model=_of(job))
    await service.says(ModelServiceCondition.READY, "False", Reason.JOB_FAILED)
    await _discard(job)
    await service.says(ModelServiceCondition.READY, "False", Reason.JOB_NOT_FOUND)


async def serve_retrained(job: Job, service: Service) -> None:
    """The job is made anew and completes alike: the pin moves, and the pods stay."""
    await job.create()
    await job.completes()
    before = await service.born(model=_of(job))
    await job.delete()
    await job.create()
    found = await job.until(states.says(FineTuneJobCondition.COMPLETE, "True"), "it is complete")
    uid = found["metadata"]["uid"]
    await service.until(
        lambda one: states.status_of(one)["model"]["fineTuneJobUid"] == uid, "the pin has moved"
    )
    assert await service.stable() == before


async def serve_pinned(job: Job, service: Service) -> None:
    """The job is made anew and doesn't complete: the pin stays, in later revisions too."""
    await job.create()
    await job.completes()
    await service.born(model=_of(job))
    await job.delete()
    await job.create(suspend=True)
    await job.until(states.says(FineTuneJobCondition.SUSPENDED, "True"), "it is suspended")
    await service.rolled(engine={"maxModelLen": 64})


def _of(job: Job) -> dict[str, object]:
    return {"fineTuneJobRef": {"name": job.name}}


async def _discard(job: Job) -> None:
    """Delete the job and wait until it is gone."""
    await job.delete()
    await job.hands.until(kube.FINETUNEJOB, job.name, states.is_gone, "the job is gone")
    await job.is_collected((Stage.PREPARE, 1))


def _scenario(story: Callable[[Job, Service], Awaitable[None]], *fates: Fates) -> Scenario:
    """The scenario of a story about a job and a service; all bear the story's own name."""
    name = story.__name__.replace("_", "-")

    async def told(hands: Hands) -> None:
        await story(Job(hands, name), Service(hands, name))

    mine = ends.of_scenario(name, names.LABEL_FINETUNEJOB, itertools.chain(*fates))
    return Scenario(name, names.MODELSERVICE, told, mine)


ALL: Final = (
    _scenario(train_then_serve, ends.all_well()),
    _scenario(serve_then_train, ends.all_well()),
    _scenario(serve_untrained, ends.fails(Stage.PREPARE, Cause.USER_ERROR)),
    _scenario(serve_retrained, ends.all_well()),
    _scenario(serve_pinned, ends.all_well()),
)
