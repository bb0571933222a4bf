"""The world of a FineTuneJob: Job controller, kubelets, garbage collector, users and bad luck.

What Kubernetes 1.37 does to Jobs like ours and no more: one pod an index and none replaced; the
first failed pod makes the Job a failure target and deletes its peers, the Failed condition comes
when every pod has ended; a pod that is deleted ends first and goes when its Job has counted it;
background deletion takes the owner at once and its children after it.

Not modelled: queues that suspend Jobs, containers that end before their pod does, pods that lose
the finalizer of their Job, deadlines and TTLs.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from fairlead_api import names
from fairlead_api.termination import Cause
from fairlead_model import training_objects as objects
from fairlead_model.objects import Obj, find, fresh_uid, of_kind, put, with_uid
from fairlead_model.state import State, Step, is_watched, remove, store, used_uids

_CAUSES: Final = {
    "user error": Cause.USER_ERROR,
    "crash": Cause.CRASHED,
    "peer lost": Cause.PEER_LOST,
}


class World(Protocol):
    """What the disturbances must know of their job."""

    menu: frozenset[str]
    name: str
    kind: str

    def born(self, number: int) -> Obj:
        """The resource as a user makes it the ``number``-th time."""
        ...


# --- what the cluster does by itself ---------------------------------------------------------
def progress(state: State) -> Iterator[Step]:
    """Every step of a controller or a kubelet that changes something now."""
    uids = {obj.uid for obj in state.live}
    for obj in state.live:
        if obj.owner and obj.owner not in uids:
            if obj.kind != "Pod":
                yield Step(("garbage collector", obj.kind, obj.name), remove(state, obj))
                continue
            if not objects.is_deleting(obj):
                after = store(state, objects.deleted(obj))
                yield Step(("garbage collector", "Pod", obj.name), after)
        if obj.kind == "Job" and not objects.job_ended(obj):
            yield from _control(state, obj)
        elif obj.kind == "Pod":
            yield from _kubelet(state, obj)
        elif objects.is_deleting(obj):
            yield Step(("garbage collector", obj.kind, obj.name), remove(state, obj))


def _control(state: State, job: Obj) -> Iterator[Step]:
    """One pass of the Job controller over a Job that hasn't ended."""
    pods = [obj for obj in of_kind(state.live, "Pod") if obj.owner == job.uid]
    label = ("job controller", job.name)
    failed = next((pod for pod in pods if objects.phase_of(pod) == "Failed"), None)
    if objects.has(job, "FailureTarget"):
        if all(map(objects.pod_ended, pods)):
            yield Step(label, store(state, objects.failed(job, len(pods))))
    elif failed is not None:
        num_failed = sum(objects.phase_of(pod) == "Failed" for pod in pods)
        for pod in pods:
            if not objects.pod_ended(pod) and not objects.is_deleting(pod):
                state = store(state, objects.deleted(pod))
        yield Step(label, store(state, objects.targeted(job, failed, num_failed)))
    elif len(pods) < job.manifest["spec"]["completions"]:
        yield Step(label, _with_pods(state, job))
    elif all(objects.phase_of(pod) == "Succeeded" for pod in pods):
        yield Step(label, store(state, objects.completed(job)))


def _with_pods(state: State, job: Obj) -> State:
    """Create what is missing; names end at random, so they are never in anybody's way."""
    made = [obj.name for obj in of_kind(state.live, "Pod") if obj.owner == job.uid]
    for index in range(job.manifest["spec"]["completions"]):
        head = f"{job.name}-{index}-"
        if not any(name.startswith(head) for name in made):
            uid = fresh_uid("Pod", head, used_uids(state))
            state = store(state, objects.pod_of(job, head + uid.rpartition("-")[2], uid))
    return state


def _kubelet(state: State, pod: Obj) -> Iterator[Step]:
    """What happens next to a pod: it starts, ends well, ends because it is deleted, goes."""
    label = ("kubelet", pod.name)
    if not objects.is_deleting(pod):
        if objects.phase_of(pod) == "Pending":
            yield Step((*label, "starts"), store(state, objects.running(pod)))
        elif objects.phase_of(pod) == "Running" and not objects.has(pod, "Ready"):
            yield Step((*label, "is ready again"), store(state, objects.running(pod)))
        elif objects.phase_of(pod) == "Running":
            yield Step((*label, "succeeds"), store(state, objects.ended(pod, Cause.SUCCEEDED)))
        return
    if not objects.pod_ended(pod):
        yield Step((*label, "stops"), store(state, objects.stopped(pod)))
        return
    job = with_uid(state.live, pod.owner)
    if job is None or objects.job_ended(job) or objects.has(job, "FailureTarget"):
        yield Step((*label, "goes"), remove(state, pod))


# --- what users, other people and bad luck do ------------------------------------------------
def disturbances(state: State, world: World) -> Iterator[Step]:
    """Every disturbance of the menu that is possible now."""
    for name, happen in _DISTURBANCES.items():
        if name in world.menu:
            for target, after in happen(state, world):
                yield Step((name, *target), after)


Happening = Iterator[tuple[tuple[str, ...], State]]


def _suspend(state: State, world: World) -> Happening:
    job = find(state.live, world.kind, world.name)
    if job is not None and not objects.is_deleting(job):
        yield (), store(state, objects.toggled(job))


def _delete(state: State, world: World) -> Happening:
    job = find(state.live, world.kind, world.name)
    if job is not None:
        yield (), remove(state, job)
        if not objects.is_deleting(job):
            yield ("in the foreground",), store(state, objects.deleted(job))


def _recreate(state: State, world: World) -> Happening:
    if find(state.live, world.kind, world.name) is None:
        number = state.facts.births + 1
        facts = state.facts._replace(births=number, begun=(0, 0, 0))
        yield (), store(state, world.born(number))._replace(facts=facts)


def _delete_job(state: State, world: World) -> Happening:
    """A Job that nobody has looked at yet is made again under its number: it never was, to us."""
    for job in of_kind(state.live, "Job"):
        stage, number = objects.attempt_of(job)
        begun = state.facts.begun
        parent = find(state.live, world.kind, world.name)
        if parent is not None and not objects.was_seen(parent, stage, number):
            place = objects.STAGES.index(stage)
            begun = (*begun[:place], number - 1, *begun[place + 1 :])
        yield (job.name,), remove(state, job)._replace(facts=state.facts._replace(begun=begun))


def _delete_pod(state: State, world: World) -> Happening:
    for pod in of_kind(state.live, "Pod"):
        if not objects.is_deleting(pod):
            yield (pod.name,), store(state, objects.deleted(pod))


def _delete_kept(state: State, world: World) -> Happening:
    for obj in of_kind(state.live, "ConfigMap", "Service"):
        yield (obj.kind, obj.name), remove(state, obj)


def _squat(state: State, world: World) -> Happening:
    for kind, name in (
        ("ConfigMap", names.run_config_name(world.name)),
        ("Service", names.workers_service_name(world.name)),
        ("Job", names.stage_job_name(world.name, "train", 1)),
    ):
        if find(state.live, kind, name) is None:
            yield (kind, name), store(state, objects.foreign(kind, name))


def _lose_claim(state: State, world: World) -> Happening:
    if state.facts.claim:
        yield (), state._replace(facts=state.facts._replace(claim=False, believed=False))
        yield ("unnoticed",), state._replace(facts=state.facts._replace(claim=False))


def _fail(state: State, world: World) -> Happening:
    for pod in _alive(state):
        for word, cause in _CAUSES.items():
            yield (pod.name, word), store(state, objects.ended(pod, cause))


def _end_mutely(state: State, world: World) -> Happening:
    for pod in _alive(state):
        yield (pod.name, "well"), store(state, objects.ended(pod, Cause.SUCCEEDED, is_mute=True))
        yield (pod.name, "killed"), store(state, objects.ended(pod, Cause.UNKNOWN, is_mute=True))


def _silence(state: State, world: World) -> Happening:
    for pod in _alive(state):
        if objects.has(pod, "Ready"):
            yield (pod.name,), store(state, objects.unready(pod))


def _evict(state: State, world: World) -> Happening:
    for pod in of_kind(state.live, "Pod"):
        if not objects.pod_ended(pod) and not objects.is_deleting(pod):
            yield (pod.name,), store(state, objects.disrupted(pod))


def _lose_node(state: State, world: World) -> Happening:
    for pod in of_kind(state.live, "Pod"):
        if not objects.pod_ended(pod):
            yield (pod.name,), store(state, objects.lost(pod))


_DISTURBANCES: Final[dict[str, Callable[[State, World], Happening]]] = {
    "suspend": _suspend,
    "delete": _delete,
    "recreate": _recreate,
    "delete Job": _delete_job,
    "delete Pod": _delete_pod,
    "delete ConfigMap or Service": _delete_kept,
    "squat": _squat,
    "lose claim": _lose_claim,
    "fail": _fail,
    "end mutely": _end_mutely,
    "silence": _silence,
    "evict": _evict,
    "lose node": _lose_node,
}
MENU: Final = frozenset(_DISTURBANCES)
"""Every disturbance there is."""


def healed(state: State) -> State:
    """Nobody else's object stands in the way any more."""
    for obj in state.live:
        if objects.is_foreign(obj):
            state = remove(state, obj)
    return state


def _alive(state: State) -> Iterator[Obj]:
    for pod in of_kind(state.live, "Pod"):
        if objects.phase_of(pod) == "Running":
            yield pod


# --- what the operator reads live ------------------------------------------------------------
def caught_up(state: State) -> State:
    """As the observer does: a Job that seems deleted, and pods that their Job has told of."""
    resource = find(state.cache, names.FINETUNEJOB, objects.NAME)
    if resource is None:
        return state
    cache = state.cache
    for name, stage in objects.uncounted(resource).items():
        job = find(cache, "Job", name)
        if job is None and stage["state"] == "Running":
            live = find(state.live, "Job", name)
            cache = put(cache, live) if live is not None and is_watched(live) else cache
        if job is None or job.owner != resource.uid:
            continue
        num_known = sum(pod.owner == job.uid for pod in of_kind(cache, "Pod"))
        if num_known < objects.num_ended(job):
            for pod in of_kind(state.live, "Pod"):
                cache = put(cache, pod) if pod.owner == job.uid else cache
    return state._replace(cache=cache)
