"""FineTuneJob: how its planner is asked, and the world that it is asked in."""

import functools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_model import training_properties as properties
from fairlead_model import training_world as world
from fairlead_model.objects import (
    NOW,
    Obj,
    Objects,
    find,
    intern,
    of_kind,
    status_of,
    stored,
)
from fairlead_model.state import Planned, State, Step, Write
from fairlead_model.training_objects import NAME, has
from fairlead_operator.finetune.options import Options
from fairlead_operator.finetune.plan import plan
from fairlead_operator.plan import (
    Act,
    Apply,
    CreateOnce,
    Delete,
    Manifest,
    Observed,
    Plan,
    is_leftover,
    owned_by,
)

Planner = Callable[[FineTuneJob, Observed, datetime, Options], Plan]


class Facts(NamedTuple):
    """What is true of a FineTuneJob's world beside its objects."""

    claim: bool = True
    """Whether the claim exists."""
    believed: bool = True
    """Whether the operator remembers that it does."""
    begun: tuple[int, int, int] = (0, 0, 0)
    """Highest attempt of each stage whose Job was ever created for the resource of now."""
    births: int = 1
    """How often a resource of this name was made."""


class Training:
    """A FineTuneJob of one or more workers in a world of its own."""

    kind: str = names.FINETUNEJOB
    name: str = NAME
    watched: tuple[str, ...] = (names.FINETUNEJOB, "Job", "Pod", "ConfigMap", "Service")

    def __init__(
        self, menu: frozenset[str], planner: Planner = plan, workers: int = 1, restarts: int = 1
    ) -> None:
        self.menu = menu
        """Names of the disturbances that may happen."""
        self.planner, self._workers, self._restarts = planner, workers, restarts
        self._options = Options(trainer_image="trainer:1", max_fruitless=2)
        self._plans: dict[tuple[Objects, bool], Planned] = {}

    @property
    def num_plans(self) -> int:
        """Different inputs that ``plan()`` was asked with."""
        return len(self._plans)

    def born(self, number: int) -> Obj:
        """The resource as a user makes it the ``number``-th time."""
        spec = {
            "model": {"uri": "pvc://store/base"},
            "datasets": [{"name": "rows", "inline": '{"text":"x"}'}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "store"},
            "numNodes": self._workers,
            "maxRestarts": self._restarts,
            "suspend": False,
        }
        head = {"name": NAME, "namespace": "team", "uid": f"uid-job-{number}", "generation": 1}
        return stored(
            {"apiVersion": names.API_VERSION, "kind": self.kind, "metadata": head, "spec": spec}
        )

    def start(self, left: int) -> State:
        """The job was just made; nobody has looked at it."""
        job = self.born(1)
        return State((job,), (job,), 0, None, True, False, False, Facts(), left)

    # --- the planner -------------------------------------------------------------------
    def plan(self, cache: Objects, facts: Any) -> Planned:
        """What the running ``plan()`` answers; each input is put to it once."""
        key = (cache, facts.believed)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._ask(cache, facts)
        return found

    def _ask(self, cache: Objects, facts: Facts) -> Planned:
        resource = find(cache, self.kind, NAME)
        assert resource is not None
        job = _read(resource)
        answer = self.planner(job, _observed(cache, resource, facts), NOW, self._options)
        return planned(answer)

    # --- the world ---------------------------------------------------------------------
    def progress(self, state: State) -> Iterator[Step]:
        """Job controller, kubelets and garbage collector."""
        return world.progress(state)

    def disturbances(self, state: State) -> Iterator[Step]:
        """Users, other people, nodes."""
        for step in world.disturbances(state, self):
            yield step._replace(state=step.state._replace(left=state.left - 1))

    def healed(self, state: State) -> State:
        """The claim is there, nodes are well, nobody else's object stands in the way."""
        facts = state.facts._replace(claim=True, believed=True)
        # The operator looks again at a claim that it misses: its timer runs.
        return world.healed(state._replace(facts=facts))

    def aged(self, facts: Any) -> Facts:
        """What was remembered of the claim is asked anew."""
        aged: Facts = facts._replace(believed=facts.claim)
        return aged

    def serves(self, facts: Any, kind: str) -> bool:
        """Every kind that jobs need is Kubernetes' own."""
        return True

    def caught_up(self, state: State) -> State:
        """What an attempt is about to be counted by is read live, where the watches lag."""
        return world.caught_up(state) if state.untold else state

    # --- properties --------------------------------------------------------------------
    def judge_plan(self, state: State, seen: Obj, answer: Planned) -> str:
        """Plans of this kind are judged by their writes."""
        return ""

    def committed(self, before: State, write: Write, after: State, made: Obj | None) -> Step:
        """Judge what the operator wrote."""
        return properties.of_write(before, write, after, made)

    def judge_rest(self, state: State) -> str:
        """The job has come to an end, or is suspended, and nothing is left over."""
        return properties.of_rest(state)


@functools.cache
def _read(resource: Obj) -> FineTuneJob:
    return FineTuneJob.read(resource.manifest)


def planned(answer: Plan) -> Planned:
    """A plan as the model keeps it."""
    status = None if answer.status is None else status_of(answer.status)
    writes = tuple(_write(act) for act in answer.acts)
    return Planned(status, writes, answer.requeue_at is not None)


def _write(act: Act) -> Write:
    if isinstance(act, CreateOnce):
        return Write("create", intern(act.manifest))
    if isinstance(act, Apply):
        return Write("apply", intern(act.manifest), act.seen.uid if act.seen else "")
    assert isinstance(act, Delete)
    head = {"name": act.name, "namespace": act.namespace}
    body = {"apiVersion": act.api_version, "kind": act.kind, "metadata": head}
    return Write("delete", intern(body), act.seen.uid)


def _observed(cache: Objects, resource: Obj, facts: Facts) -> Observed:
    """What ``observe`` would gather from this cache."""
    label, uid = (names.LABEL_FINETUNEJOB, NAME), resource.uid

    def named(kind: str) -> Iterator[Manifest]:
        for obj in of_kind(cache, kind):
            if (obj.manifest["metadata"].get("labels") or {}).get(label[0]) == label[1]:
                yield obj.manifest

    def own(kind: str) -> tuple[Manifest, ...]:
        return tuple(manifest for manifest in named(kind) if owned_by(manifest, uid))

    leftovers = (
        manifest
        for kind in ("Job", "ConfigMap", "Service")
        for manifest in named(kind)
        if is_leftover(manifest, names.FINETUNEJOB, NAME, uid)
    )
    has_ended = has(resource, "Complete") or has(resource, "Failed")
    claim = {"spec": {"accessModes": ["ReadWriteMany"]}} if facts.believed else None
    return Observed(
        jobs=own("Job"),
        pods=tuple(named("Pod")),
        config_maps=own("ConfigMap"),
        services=own("Service"),
        leftovers=() if has_ended else tuple(leftovers),
        claims={} if has_ended else {"store": claim},
    )
