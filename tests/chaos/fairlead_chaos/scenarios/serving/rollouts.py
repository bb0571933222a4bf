"""ModelServices on their way from one revision to another, the ways that go wrong among them.

A rollout takes the five seconds that pods are watched for before traffic moves; what served
before stays for ten more.
"""

from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import ModelServiceCondition, Reason
from fairlead_api.termination import Cause, Termination
from fairlead_chaos.scenario import Scenario
from fairlead_chaos.scenarios import states
from fairlead_chaos.scenarios.services import (
    NO_ROOM,
    Service,
    crashes,
    revision_of,
    scenario,
)
from fairlead_operator import kube

_CRASHING: Final = {"engine": {"maxModelLen": 16}}


async def rolled_out(service: Service) -> None:
    """From one revision to the next, and back to the first by its record."""
    first = await service.born(replicas=2)
    await service.rolled(engine={"maxModelLen": 64})
    assert await service.rolled(engine={"maxModelLen": None}) == first


async def edited_in_rollout(service: Service) -> None:
    """Asked for a third revision while the second, which has no room, is on its way."""
    first = await service.born()
    second = await service.candidate(resources=NO_ROOM)
    await service.is_ready(await service.edit(resources=None, engine={"maxModelLen": 64}))
    await service.is_retired(first)
    await service.is_retired(second)


async def rolled_back(service: Service) -> None:
    """Back to what serves while the next, which has no room, is on its way."""
    first = await service.born()
    second = await service.candidate(resources=NO_ROOM)
    assert await service.is_ready(await service.edit(resources=None)) == first
    await service.is_retired(second)


async def overdue(service: Service) -> None:
    """The next revision never becomes ready; once its deadline has passed it is corrected."""
    first = await service.born()
    second = await service.candidate(resources=NO_ROOM)
    reason = Reason.PROGRESS_DEADLINE_EXCEEDED
    await service.says(ModelServiceCondition.PROGRESSING, "False", reason)
    await service.is_ready(await service.edit(resources={"limits": None, "requests": {"cpu": "1"}}))
    await service.is_retired(first)
    await service.is_retired(second)


async def never_ready(service: Service) -> None:
    """Its first revision has no room: the next one takes over at once."""
    await service.create(resources=NO_ROOM)
    first = await service.stable()
    await service.child(kube.SERVICE)
    await service.is_ready(await service.edit(resources=None))
    await service.is_retired(first)


async def crash_looping(service: Service) -> None:
    """The pods of the next revision end again and again, with the server's own words."""
    first = await service.born()
    second = await service.candidate(**_CRASHING)
    await service.says(ModelServiceCondition.PROGRESSING, "False", Cause.MODEL_ERROR)
    await service.is_ready(await service.edit(engine={"maxModelLen": 64}))
    await service.is_retired(first)
    await service.is_retired(second)


async def history_pruned(service: Service) -> None:
    """More revisions than are kept: the oldest records go.

    Without replicas, for then a revision needs no pods to take over.
    """
    await service.create(replicas=0)
    await service.until(states.serves(), "it stands without pods")
    revisions = [await service.stable()]
    for length in (32, 64, 128, 256, 512):
        generation = await service.edit(engine={"maxModelLen": length})
        await service.until(states.serves(generation), f"it stands at {length}")
        revisions.append(await service.stable())
    await service.is_forgotten(*revisions[:2])
    for revision in revisions[2:-1]:
        await service.is_retired(revision)


async def upgraded(service: Service) -> None:
    """Another server's image comes: what serves stays, the next revision has it."""
    first = await service.born()
    await service.hands.restart_operator(FAIRLEAD_SERVER_IMAGE="localhost/server:next")
    await service.rolled(servedModelName="another")
    assert await service.child(kube.REVISION, first)


async def upgraded_unproven(service: Service) -> None:
    """Another server's image comes to what never served, for it may be the cure."""
    await service.create(resources=NO_ROOM)
    first = await service.stable()
    await service.child(kube.SERVICE)
    await service.hands.restart_operator(FAIRLEAD_SERVER_IMAGE="localhost/server:next")
    await service.is_retired(first)


async def restarted(service: Service) -> None:
    """Asked for new pods by the annotation that ``kubectl rollout restart`` would set."""
    before = await service.born()
    change = {"metadata": {"annotations": {names.ANNOTATION_RESTARTED_AT: "a-moment"}}}
    await service.hands.patch(kube.MODELSERVICE, service.name, change)
    await service.is_retired(before)
    await service.is_ready()


_EDITS: Final[dict[str, dict[str, Any]]] = {
    "model-uri": {"model": {"uri": "pvc://work/another"}},
    "served-name": {"servedModelName": "another"},
    "tensor-parallel-size": {"engine": {"tensorParallelSize": 2}},
    "gpu-memory": {"engine": {"gpuMemoryUtilization": 0.5}},
    "dtype": {"engine": {"dtype": "float32"}},
    "quantization": {"engine": {"quantization": "awq"}},
    "extra-args": {"engine": {"extraArgs": {"seed": "1"}}},
    "resources": {"resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}},
    "max-tokens": {"limits": {"maxTokens": 64}},
    "max-queued": {"limits": {"maxQueuedRequests": 8}},
}
"""One edit a field that makes another revision; ``rolled_out`` has maxModelLen."""


def _edited(field: str, change: dict[str, Any]) -> Scenario:
    async def story(service: Service) -> None:
        await service.born()
        await service.rolled(**change)

    story.__name__ = f"edited_{field}"
    return scenario(story)


def _crash_message() -> str:
    return Termination(cause=Cause.MODEL_ERROR, message="it ended by ModelError").to_message()


EDITS: Final = tuple(_edited(field, change) for field, change in _EDITS.items())
ALL: Final = (
    scenario(rolled_out),
    scenario(edited_in_rollout),
    scenario(rolled_back),
    scenario(
        overdue,
        FAIRLEAD_SERVING_STARTUP_TIMEOUT_SECONDS="10",
        FAIRLEAD_SERVING_PROGRESS_DEADLINE_SECONDS="11",
    ),
    scenario(never_ready),
    scenario(
        crash_looping,
        crashes(_crash_message(), revision_of("crash-looping", **_CRASHING)),
    ),
    scenario(history_pruned),
    scenario(upgraded),
    scenario(upgraded_unproven),
    scenario(restarted),
    *EDITS,
)
