"""ModelServices whose children others delete or edit."""

from typing import Any, Final

from fairlead_api import names
from fairlead_chaos.scenario import Manifest
from fairlead_chaos.scenarios import states
from fairlead_chaos.scenarios.services import Service, scenario
from fairlead_operator import kube
from fairlead_operator.kube import Kind


async def deployment_deleted(service: Service) -> None:
    """Its pods go, and come back with another Deployment of the name."""
    revision = await service.born()
    await service.loses(kube.DEPLOYMENT, revision)
    await service.has_pods(1)
    await service.is_ready()


async def services_deleted(service: Service) -> None:
    """Both Services come back: that of the revision and the one that users call."""
    revision = await service.born()
    await service.loses(kube.SERVICE, revision)
    await service.loses(kube.SERVICE)


async def record_deleted(service: Service) -> None:
    """The record of what serves comes back, and serves a rollout's return."""
    revision = await service.born()
    await service.loses(kube.REVISION, revision)


async def replicas_edited(service: Service) -> None:
    """Somebody scales the Deployment: the service's own count is the one that holds."""
    revision = await service.born()
    await _edited(service, kube.DEPLOYMENT, revision, {"replicas": 3}, {"replicas": 1})
    await service.has_pods(1)
    await service.is_ready()


async def image_edited(service: Service) -> None:
    """Somebody gives the Deployment another image, and pauses it to look at that.

    Paused, because else it would be chance whether Kubernetes began a rollout before the image
    was set right.
    """
    revision = await service.born()
    name = service.child_name(revision)
    found = await service.child(kube.DEPLOYMENT, revision)
    containers = found["spec"]["template"]["spec"]["containers"]
    wrong = [containers[0] | {"image": "localhost/stranger"}]
    change = {"spec": {"paused": True, "template": {"spec": {"containers": wrong}}}}
    await service.hands.patch(kube.DEPLOYMENT, name, change)

    def is_right(one: Manifest | None) -> bool:
        return one is not None and one["spec"]["template"]["spec"]["containers"] == containers

    await service.hands.until(kube.DEPLOYMENT, name, is_right, "the image is ours")
    await service.hands.patch(kube.DEPLOYMENT, name, {"spec": {"paused": None}})
    has_proven = states.says("Progressing", "True", "NewReplicaSetAvailable")
    await service.hands.until(kube.DEPLOYMENT, name, has_proven, "the Deployment goes on")


async def selector_edited(service: Service) -> None:
    """Somebody points the service at pods of nobody."""
    revision = await service.born()
    ours = (await service.child(kube.SERVICE))["spec"]["selector"]
    wrong = {"selector": {names.LABEL_REVISION: "nobody"}}
    await _edited(service, kube.SERVICE, "", wrong, {"selector": ours})
    await _edited(service, kube.SERVICE, revision, wrong, {"selector": ours})


async def labels_edited(service: Service) -> None:
    """Somebody takes our labels off: to the operator's watch that looks like a deletion."""
    revision = await service.born()
    for kind in (kube.DEPLOYMENT, kube.SERVICE):
        found = await service.child(kind, revision)
        ours = found["metadata"]["labels"]
        name = service.child_name(revision)
        await service.hands.patch(kind, name, {"metadata": {"labels": dict.fromkeys(ours)}})
        await service.hands.until(kind, name, states.has_labels(ours), f"{name} is labelled")


async def _edited(
    service: Service, kind: Kind, revision: str, wrong: dict[str, Any], right: dict[str, Any]
) -> None:
    """Edit a child's spec, and wait until it is ours again."""
    name = service.child_name(revision)
    await service.hands.patch(kind, name, {"spec": wrong})
    await service.hands.until(kind, name, states.has_spec(**right), f"{name} is right again")


ALL: Final = tuple(
    map(
        scenario,
        (
            deployment_deleted,
            services_deleted,
            record_deleted,
            replicas_edited,
            image_edited,
            selector_edited,
            labels_edited,
        ),
    )
)
