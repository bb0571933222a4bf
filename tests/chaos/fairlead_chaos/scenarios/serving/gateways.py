"""ModelServices behind Gateways: taken in, refused, moved, and their routes touched by others.

The lab's gateway controller is simulated (``routing``): it answers routes by the rules of a real
one and sends no request anywhere. A Gateway isn't watched by the operator, which remembers what it
has read for 20 seconds; what stories wait for after a change of one takes as long.
"""

from typing import Any, Final

from fairlead_api.conditions import ModelServiceCondition, Reason
from fairlead_chaos import tenant
from fairlead_chaos.scenario import Hands
from fairlead_chaos.scenarios import manifests, states
from fairlead_chaos.scenarios.services import Service, scenario
from fairlead_operator import kube

EDGE: Final = "edge"
OTHER: Final = "other"
OTHER_PORT: Final = 8080
_HOSTNAME: Final = "models.example.com"
_INSTALLED: Final = {"FAIRLEAD_GATEWAY": f"{tenant.PLACEHOLDER}/{EDGE}"}


async def routed(service: Service) -> None:
    """Made behind the installation's Gateway."""
    await _gateway(service.hands)
    await service.born()
    await service.is_routed()


async def routed_rollout(service: Service) -> None:
    """From one revision to the next: what served before goes once its route leads away from it."""
    await _gateway(service.hands)
    await service.born()
    await service.is_routed()
    await service.rolled(engine={"maxModelLen": 64})
    await service.is_routed()


async def route_refused(service: Service) -> None:
    """The Gateway takes other host names, then one of those is asked for, then it takes all."""
    await _gateway(service.hands, hostname="*.example.com")
    await service.create(gatewayRefs=_refs(EDGE))
    await service.says(ModelServiceCondition.READY, "False", Reason.NOT_ACCEPTED)
    named = [{"name": EDGE, "hostnames": [_HOSTNAME]}]
    await service.is_ready(await service.edit(gatewayRefs=named))
    await service.is_routed()
    await service.is_at(f"http://{_HOSTNAME}")
    await service.edit(gatewayRefs=_refs(EDGE))
    await service.says(ModelServiceCondition.READY, "False", Reason.NOT_ACCEPTED)
    await service.hands.patch(kube.GATEWAY, EDGE, {"spec": manifests.listeners()})
    await service.is_ready()
    await service.is_routed()


async def refused_in_rollout(service: Service) -> None:
    """The Gateway no longer takes its route in while another revision is on its way."""
    await _gateway(service.hands)
    before = await service.born(gatewayRefs=_refs(EDGE))
    await service.is_routed()
    narrow = manifests.listeners(hostname="*.example.com")
    await service.hands.patch(kube.GATEWAY, EDGE, {"spec": narrow})
    await service.says(ModelServiceCondition.ROUTE_READY, "False", Reason.NOT_ACCEPTED)
    await service.edit(engine={"maxModelLen": 64})
    await service.is_retired(before)
    await service.says(ModelServiceCondition.READY, "False", Reason.NOT_ACCEPTED)


async def gateways_changed(service: Service) -> None:
    """Asks for a gateway, for another one in its stead, and for both."""
    await _gateway(service.hands)
    await _gateway(service.hands, OTHER, port=OTHER_PORT)
    await service.born()
    await service.says(ModelServiceCondition.ROUTE_READY, "False", Reason.NO_GATEWAY)
    for chosen in ((EDGE,), (OTHER,), (OTHER, EDGE)):
        await service.is_ready(await service.edit(gatewayRefs=_refs(*chosen)))
        await _leads_from(service, *chosen)
    await service.is_at(_url(service, OTHER_PORT))


async def gateways_removed(service: Service) -> None:
    """Wants no gateway any more, neither its own nor the installation's."""
    await _gateway(service.hands)
    await _gateway(service.hands, OTHER, port=OTHER_PORT)
    await service.born(gatewayRefs=_refs(OTHER, EDGE))
    await service.is_routed()
    await service.is_ready(await service.edit(gatewayRefs=None))
    await _leads_from(service, EDGE)
    await service.is_ready(await service.edit(gatewayRefs=[]))
    await service.says(ModelServiceCondition.ROUTE_READY, "False", Reason.NO_GATEWAY)
    await service.is_gone(kube.HTTP_ROUTE)


async def gateway_installed(service: Service) -> None:
    """The installation gets a Gateway: what serves without one is routed."""
    await _gateway(service.hands)
    await service.born()
    name = f"{service.hands.namespace}/{EDGE}"
    await service.hands.restart_operator(FAIRLEAD_GATEWAY=name)
    await service.is_routed()
    await service.is_ready()


async def gateway_made_later(service: Service) -> None:
    """Asks for a Gateway that isn't there; once it is, its port is in the address."""
    await service.create(gatewayRefs=_refs(OTHER))
    await service.says(ModelServiceCondition.READY, "False", Reason.NOT_ACCEPTED)
    await _gateway(service.hands, OTHER, port=OTHER_PORT)
    await service.is_ready()
    await service.is_routed()
    await service.is_at(_url(service, OTHER_PORT))


async def gateway_deleted(service: Service) -> None:
    """The Gateway goes, and with it what it said of the route."""
    await _gateway(service.hands)
    await service.born(gatewayRefs=_refs(EDGE))
    await service.is_routed()
    await service.hands.delete(kube.GATEWAY, EDGE)
    await service.says(ModelServiceCondition.READY, "False", Reason.NOT_ACCEPTED)


async def route_deleted(service: Service) -> None:
    """Somebody deletes the route: it comes back, and is taken in again."""
    await _gateway(service.hands)
    await service.born()
    await service.is_routed()
    await service.loses(kube.HTTP_ROUTE)
    await service.is_routed()
    await service.is_ready()


async def route_edited(service: Service) -> None:
    """Somebody points the route at nobody, and takes our labels off it."""
    await _gateway(service.hands)
    await service.born()
    await service.is_routed()
    found = await service.child(kube.HTTP_ROUTE)
    ours, labels = found["spec"]["rules"], found["metadata"]["labels"]
    nobody = [{"backendRefs": [{"name": "nobody", "port": 80}]}]
    for change in ({"spec": {"rules": nobody}}, {"metadata": {"labels": dict.fromkeys(labels)}}):
        await service.hands.patch(kube.HTTP_ROUTE, service.name, change)
        is_right = states.both(states.has_spec(rules=ours), states.has_labels(labels))
        await service.hands.until(kube.HTTP_ROUTE, service.name, is_right, "the route is ours")
        await service.is_routed()
    await service.is_ready()


async def foreign_route(service: Service) -> None:
    """A stranger's route has its name; once that is gone, its own is made."""
    await _gateway(service.hands)
    await service.hands.create(manifests.foreign_route(service.name))
    await service.create()
    await service.until(states.reconcile_error(Reason.FOREIGN_CHILD), "it tells of the stranger")
    await service.hands.delete(kube.HTTP_ROUTE, service.name)
    await service.is_ready()
    await service.is_routed()


async def routed_discarded(service: Service) -> None:
    """Deleted while it is routed: the route goes with it."""
    await _gateway(service.hands)
    revision = await service.born()
    await service.is_routed()
    await service.delete()
    await service.is_collected(revision)
    await service.is_gone(kube.HTTP_ROUTE)


async def routed_reborn(service: Service) -> None:
    """Deleted and made anew at once: the route of the first goes, then the second's comes."""
    await _gateway(service.hands)
    await service.born()
    await service.is_routed()
    old = await service.child(kube.HTTP_ROUTE)
    await service.delete()
    await service.create()
    anew = states.is_new(old["metadata"]["uid"])
    await service.hands.until(kube.HTTP_ROUTE, service.name, anew, "its route is another one")
    await service.is_ready()
    await service.is_routed()
    await service.has_pods(1)


async def _gateway(hands: Hands, name: str = EDGE, **listener: Any) -> None:
    await hands.create(manifests.gateway(name, **listener))


def _refs(*gateways: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in gateways]


def _url(service: Service, port: int) -> str:
    return f"http://{service.name}.{service.hands.namespace}.fairlead.local:{port}"


async def _leads_from(service: Service, *gateways: str) -> None:
    """Wait until the route names these Gateways and each takes it in."""

    def holds(found: Any) -> bool:
        parents = [one["name"] for one in found["spec"]["parentRefs"]] if found else []
        return parents == list(gateways) and states.is_taken_in(found)

    what = f"the route leads from {' and '.join(gateways)}"
    await service.hands.until(kube.HTTP_ROUTE, service.name, holds, what)
    await service.is_routed()


BY_DEFAULT: Final = (
    routed,
    routed_rollout,
    gateways_removed,
    route_deleted,
    route_edited,
    foreign_route,
    routed_discarded,
    routed_reborn,
)
"""Stories in which the installation has a Gateway."""
ALL: Final = (
    *(scenario(story, **_INSTALLED) for story in BY_DEFAULT),
    *map(
        scenario,
        (
            route_refused,
            refused_in_rollout,
            gateways_changed,
            gateway_installed,
            gateway_made_later,
            gateway_deleted,
        ),
    ),
)
