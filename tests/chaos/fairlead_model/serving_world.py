"""The world of a ModelService: Deployment controller, gateway, garbage collector, people, luck.

What Kubernetes 1.37 and a gateway do to children like ours and no more: a Deployment's status
follows its spec, its pods get ready one by one and count as available a little later, and the
reason of Progressing stays NewReplicaSetAvailable until the template changes; a gateway takes in
a route with its answer; the garbage collector takes what lost its owner.

Not modelled: ReplicaSets, pods that are well, the time between a gateway's answer and its doing,
autoscalers.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from fairlead_api import names
from fairlead_api.termination import Cause
from fairlead_model import serving_objects as objects
from fairlead_model.objects import Obj, find, of_kind
from fairlead_model.state import State, Step, remove, store
from fairlead_operator.serving import route as routes

CHILDREN: Final = ("ControllerRevision", "Deployment", "HTTPRoute", "Service")


class World(Protocol):
    """What the disturbances must know of their service."""

    menu: frozenset[str]
    name: str
    kind: str

    def born(self, number: int) -> Obj:
        """The resource as a user makes it the ``number``-th time."""
        ...


# --- what the cluster does by itself ---------------------------------------------------------
def progress(state: State) -> Iterator[Step]:
    """Every step of a controller or a gateway that changes something now."""
    uids = {obj.uid for obj in state.live}
    for obj in state.live:
        if obj.owner and obj.owner not in uids:
            yield Step(("garbage collector", obj.kind, obj.name), remove(state, obj))
        elif obj.kind == "Deployment" and not objects.is_foreign(obj):
            yield from _control(state, obj)
        elif obj.kind == names.FINETUNEJOB and obj.manifest["status"]["phase"] == "Training":
            number = int(obj.uid.rpartition("-")[2])
            done = store(state, objects.job(number, "Complete"))
            yield Step(("job completes",), done)
    facts = state.facts
    if facts.serves != facts.believes_served:
        noticed = facts._replace(believes_served=facts.serves)
        yield Step(("operator", "notices the API"), state._replace(facts=noticed, dirty=True))
    yield from _gateway(state)


def _control(state: State, deployment: Obj) -> Iterator[Step]:
    """The next thing that becomes of a Deployment."""
    label = ("deployment controller", deployment.name)
    if not objects.is_observed(deployment):
        yield Step((*label, "observes"), store(state, objects.observed(deployment)))
        return
    status, wanted = objects.status_of(deployment), objects.replicas(deployment)
    num_broken = sum(pod.owner == deployment.uid for pod in of_kind(state.live, "Pod"))
    if status["readyReplicas"] < wanted - num_broken:
        yield Step((*label, "a pod is ready"), store(state, objects.one_ready(deployment)))
    if status["availableReplicas"] < status["readyReplicas"]:
        yield Step((*label, "pods are available"), store(state, objects.available(deployment)))


def _gateway(state: State) -> Iterator[Step]:
    """The gateway takes a route in, or forgets one that is gone."""
    facts = state.facts
    route = find(state.live, "HTTPRoute", "svc")
    if not facts.gateway or not facts.serves:
        return
    if route is None:
        if facts.led:
            yield Step(("gateway", "forgets"), state._replace(facts=facts._replace(led="")))
        return
    answer = objects.answered(route, facts.accepts)
    leads = routes.backend(route.manifest) if facts.accepts else ""
    if answer is not route or leads != facts.led:
        after = store(state, answer) if answer is not route else state
        yield Step(("gateway", "answers"), after._replace(facts=facts._replace(led=leads)))


# --- what users, other people and bad luck do ------------------------------------------------
def disturbances(state: State, world: World) -> Iterator[Step]:
    """Every disturbance of the menu that is possible now."""
    for name, happen in _DISTURBANCES.items():
        if name in world.menu:
            for target, after in happen(state, world):
                yield Step((name, *target), after)


Happening = Iterator[tuple[tuple[str, ...], State]]
_EDITS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "engine": ({}, {"maxModelLen": 100}, {"maxModelLen": 200}),
    "replicas": (0, 1, 2),  # type: ignore[dict-item]
    "gatewayRefs": (None, []),  # type: ignore[dict-item]
    "model": ({"uri": "pvc://models/base"}, {"fineTuneJobRef": {"name": objects.JOB}}),
}
_REFUSED: Final = {"extraArgs": {"port": "1"}}


def _edit(field: str, values: tuple[Any, ...]) -> Callable[[State, World], Happening]:
    """A user sets a field to one of its values."""

    def happen(state: State, world: World) -> Happening:
        service = find(state.live, world.kind, world.name)
        if service is not None:
            for value in values:
                if service.manifest["spec"].get(field) != value:
                    text = json.dumps({field: value})
                    yield (text,), store(state, objects.with_spec(service, text))

    return happen


def _delete(state: State, world: World) -> Happening:
    service = find(state.live, world.kind, world.name)
    if service is not None:
        yield (), remove(state, service)


def _recreate(state: State, world: World) -> Happening:
    if find(state.live, world.kind, world.name) is None:
        number = state.facts.births + 1
        facts = state.facts._replace(births=number)
        yield (), store(state, world.born(number))._replace(facts=facts)


def _delete_child(state: State, world: World) -> Happening:
    for obj in of_kind(state.live, *CHILDREN):
        yield (obj.kind, obj.name), remove(state, obj)


def _meddle(state: State, world: World) -> Happening:
    for (kind, what), change in objects.MEDDLING.items():
        for obj in of_kind(state.live, kind):
            if not objects.is_foreign(obj) and (after := change(obj)) is not obj:
                yield (obj.kind, obj.name, what), store(state, after)


def _squat(state: State, world: World) -> Happening:
    if find(state.live, "Service", world.name) is None:
        yield ("Service",), store(state, objects.foreign("Service", world.name))


def _break(state: State, world: World) -> Happening:
    for deployment in of_kind(state.live, "Deployment"):
        if objects.status_of(deployment).get("readyReplicas", 0) > 0:
            pod = objects.broken_pod(deployment, Cause.CRASHED)
            if find(state.live, "Pod", pod.name) is None:
                fewer = store(state, objects.one_broken(deployment))
                yield (deployment.name, "a pod crashes"), store(fewer, pod)
            yield (deployment.name, "a pod stalls"), store(state, objects.one_broken(deployment))


def _refuse_model(state: State, world: World) -> Happening:
    for deployment in of_kind(state.live, "Deployment"):
        pod = objects.broken_pod(deployment, Cause.ARTIFACT_REFUSED)
        is_starting = objects.is_observed(deployment) and objects.replicas(deployment) > 0
        is_new = find(state.live, "Pod", pod.name) is None
        if is_starting and is_new and not objects.status_of(deployment)["readyReplicas"]:
            yield (deployment.name,), store(state, pod)


def _overdue(state: State, world: World) -> Happening:
    for deployment in of_kind(state.live, "Deployment"):
        if objects.is_observed(deployment) and objects.reason(deployment) == "ReplicaSetUpdated":
            yield (deployment.name,), store(state, objects.overdue(deployment))


def _lose_claim(state: State, world: World) -> Happening:
    if state.facts.claim:
        yield (), state._replace(facts=state.facts._replace(claim=False, believed=False))
        yield ("unnoticed",), state._replace(facts=state.facts._replace(claim=False))


def _refuse_route(state: State, world: World) -> Happening:
    if state.facts.accepts:
        yield (), state._replace(facts=state.facts._replace(accepts=False))


def _lose_gateway(state: State, world: World) -> Happening:
    """A Gateway is deleted; its controller may take back what it said, or be gone as well."""
    if state.facts.gateway:
        gone = state._replace(facts=state.facts._replace(gateway=False, led=""))
        yield ("silently",), gone
        route = find(state.live, "HTTPRoute", world.name)
        if route is not None and "status" in route.manifest:
            yield (), store(gone, objects.unanswered(route))


def _unserve(state: State, world: World) -> Happening:
    """The Gateway API is served no more; its objects stay where they are kept."""
    if state.facts.serves:
        yield (), state._replace(facts=state.facts._replace(serves=False))


def _upgrade(state: State, world: World) -> Happening:
    """A newer operator with another server image takes over where the old one was."""
    if state.facts.image == 1:
        facts = state.facts._replace(image=2)
        yield (), state._replace(facts=facts, doing=None, dirty=True, backoff=False, timer=False)


def _job(state: State, world: World) -> Happening:
    """The FineTuneJob is made, fails, is deleted, is made anew."""
    standing = find(state.live, names.FINETUNEJOB, objects.JOB)
    if standing is None:
        number = state.facts.jobs + 1
        facts = state.facts._replace(jobs=number)
        yield ("begins",), store(state, objects.job(number, "Training"))._replace(facts=facts)
        return
    yield ("is deleted",), remove(state, standing)
    if standing.manifest["status"]["phase"] == "Training":
        yield ("fails",), store(state, objects.job(state.facts.jobs, "Failed"))


_DISTURBANCES: Final[dict[str, Callable[[State, World], Happening]]] = {
    **{f"edit {field}": _edit(field, values) for field, values in _EDITS.items()},
    "edit to what is refused": _edit("engine", (_REFUSED,)),
    "delete": _delete,
    "recreate": _recreate,
    "delete child": _delete_child,
    "meddle": _meddle,
    "squat": _squat,
    "break": _break,
    "refuse model": _refuse_model,
    "overdue": _overdue,
    "lose claim": _lose_claim,
    "refuse route": _refuse_route,
    "lose gateway": _lose_gateway,
    "unserve Gateway API": _unserve,
    "upgrade": _upgrade,
    "job": _job,
}
MENU: Final = frozenset(_DISTURBANCES)
"""Every disturbance there is."""


def healed(state: State) -> State:
    """Pods can start, the gateway is there and accepts, nobody's object is in the way."""
    facts = state.facts._replace(claim=True, believed=True, gateway=True, accepts=True, serves=True)
    state = state._replace(facts=facts)
    for obj in state.live:
        if objects.is_foreign(obj) or obj.kind == "Pod":
            state = remove(state, obj)
    return state
