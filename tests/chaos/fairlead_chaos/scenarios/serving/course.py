"""ModelServices from their making to their end: scaled, waiting, refused, deleted, made anew."""

from typing import Final

from fairlead_api.conditions import ModelServiceCondition, Reason
from fairlead_chaos.scenarios import manifests, neighbours, states
from fairlead_chaos.scenarios.services import NO_ROOM, Service, scenario
from fairlead_operator import kube


async def served(service: Service) -> None:
    """Made, and ready."""
    await service.born()


async def scaled(service: Service) -> None:
    """Up and down by the spec: the revision stays."""
    await service.born()
    for replicas in (3, 1):
        generation = await service.edit(replicas=replicas)
        await service.has_pods(replicas)
        await service.is_ready(generation)


async def scaled_to_zero(service: Service) -> None:
    """Up, to none and back through the scale subresource, as an autoscaler does it."""
    await service.born()
    await service.scale(2)
    await service.has_pods(2)
    await service.scale(0)
    await service.says(ModelServiceCondition.READY, "False", Reason.SCALED_TO_ZERO)
    await service.has_pods(0)
    await service.is_ready(await service.scale(1))


async def born_at_zero(service: Service) -> None:
    """Made without replicas, and given some."""
    await service.create(replicas=0)
    await service.until(states.serves(), "it stands without pods")
    await service.is_ready(await service.scale(1))


async def discarded(service: Service) -> None:
    """Deleted while it serves: everything goes with it."""
    revision = await service.born(replicas=2)
    await service.delete()
    await service.is_collected(revision)


async def discarded_in_rollout(service: Service) -> None:
    """Deleted between two revisions."""
    before = await service.born()
    after = await service.candidate(resources=NO_ROOM)
    await service.delete()
    await service.is_collected(before, after)


async def reborn(service: Service) -> None:
    """Deleted and made anew at once with the same spec: all children have the same names."""
    old = await service.born()
    found = await service.child(kube.SERVICE)
    await service.delete()
    await service.create()
    anew = states.is_new(found["metadata"]["uid"])
    await service.hands.until(kube.SERVICE, service.name, anew, "its Service is another one")
    assert await service.is_ready() == old
    await service.has_pods(1)


async def reborn_different(service: Service) -> None:
    """Deleted and made anew at once with another spec: the first revision goes with the first."""
    old = await service.born()
    await service.delete()
    await service.create(servedModelName="another", replicas=2)
    await service.is_ready()
    await service.is_forgotten(old)
    await service.has_pods(2)


async def model_missing(service: Service) -> None:
    """Its model's claim is made after it; claims are looked at every 20 to 30 seconds."""
    await service.create(model={"uri": "pvc://later/base"})
    await service.says(ModelServiceCondition.READY, "False", Reason.CLAIM_NOT_FOUND)
    await neighbours.claim(service.hands, "later")
    await service.is_ready()


async def deployments_refused(service: Service) -> None:
    """The API server refuses its Deployment until the quota is raised."""
    await neighbours.quota(service.hands, count__deployments_apps="0")
    await service.create()
    await service.until(states.reconcile_error(Reason.REFUSED), "it tells of the quota")
    await neighbours.raise_quota(service.hands, count__deployments_apps="9")
    await service.is_ready()


async def engine_refused(service: Service) -> None:
    """Made with an argument that isn't allowed, then with one that is."""
    await service.create(engine={"extraArgs": {"trust-remote-code": "true"}})
    await service.says(ModelServiceCondition.READY, "False", Reason.ARGUMENT_REFUSED)
    arguments = {"trust-remote-code": None, "seed": "1"}
    await service.is_ready(await service.edit(engine={"extraArgs": arguments}))


async def foreign_service(service: Service) -> None:
    """A stranger's Service has its name; once that is gone, its own is made."""
    await service.hands.create(manifests.foreign_service(service.name))
    await service.create()
    await service.until(states.reconcile_error(Reason.FOREIGN_CHILD), "it tells of the stranger")
    await service.hands.delete(kube.SERVICE, service.name)
    await service.is_ready()


ALL: Final = tuple(
    map(
        scenario,
        (
            served,
            scaled,
            scaled_to_zero,
            born_at_zero,
            discarded,
            discarded_in_rollout,
            reborn,
            reborn_different,
            model_missing,
            deployments_refused,
            engine_refused,
            foreign_service,
        ),
    )
)
