"""ModelService: how its planner is asked, and the world that it is asked in."""

import functools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from fairlead_api import names
from fairlead_api.modelservice import GatewayRef, ModelService
from fairlead_model import serving_objects as objects
from fairlead_model import serving_properties as properties
from fairlead_model import serving_world as world
from fairlead_model.objects import NOW, Obj, Objects, find, of_kind, stored
from fairlead_model.serving_objects import NAME
from fairlead_model.state import Planned, State, Step, Write
from fairlead_model.training import planned
from fairlead_operator.plan import Manifest, Observed, Plan, owned_by
from fairlead_operator.serving.options import Options
from fairlead_operator.serving.plan import plan

GATEWAY: Final = {
    "metadata": {"name": "gateway", "namespace": "fairlead"},
    "spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": 8080}]},
}
Planner = Callable[[ModelService, Observed, datetime, Options], Plan]


class Facts(NamedTuple):
    """What is true of a ModelService's world beside its objects."""

    claim: bool = True
    believed: bool = True
    """Whether the operator remembers that the claim exists."""
    gateway: bool = True
    """Whether the Gateway exists and its controller runs."""
    accepts: bool = True
    """Whether the gateway takes in routes of ours."""
    serves: bool = True
    """Whether the cluster serves the Gateway API."""
    believes_served: bool = True
    """Whether the operator thinks so: it asks now and then."""
    led: str = ""
    """The Service to which the gateway sends requests; empty: to none."""
    image: int = 1
    """The operator's version, by the server image that it brings."""
    births: int = 1
    """How often a resource of this name was made."""
    jobs: int = 1
    """How often the FineTuneJob was made."""


class Serving:
    """A ModelService behind one gateway."""

    kind: str = names.MODELSERVICE
    name: str = NAME
    watched: tuple[str, ...] = (
        names.MODELSERVICE, names.FINETUNEJOB, "Pod", "Service", "Deployment",
        "ControllerRevision", "HTTPRoute",
    )  # fmt: skip

    def __init__(
        self, menu: frozenset[str], planner: Planner = plan, replicas: int = 1, by_job: bool = False
    ) -> None:
        self.menu = menu
        """Names of the disturbances that may happen."""
        self.planner, self._replicas, self._by_job = planner, replicas, by_job
        self._plans: dict[tuple[Any, ...], Planned] = {}

    @property
    def num_plans(self) -> int:
        """Different inputs that ``plan()`` was asked with."""
        return len(self._plans)

    def born(self, number: int) -> Obj:
        """The resource as a user makes it the ``number``-th time."""
        by_job = {"fineTuneJobRef": {"name": objects.JOB}}
        model = by_job if self._by_job else {"uri": "pvc://models/base"}
        spec = {"model": model, "replicas": self._replicas, "engine": {}}
        head = {"name": NAME, "namespace": "team", "uid": f"uid-svc-{number}", "generation": 1}
        body = {"apiVersion": names.API_VERSION, "kind": self.kind, "metadata": head}
        return stored(body | {"spec": spec})

    def start(self, left: int) -> State:
        """The service was just made; its job, where it has one, is training."""
        jobs = (objects.job(1, "Training"),) if self._by_job else ()
        live: Objects = (*jobs, self.born(1))
        return State(live, live, 0, None, True, False, False, Facts(), left)

    # --- the planner -------------------------------------------------------------------
    def plan(self, cache: Objects, facts: Any) -> Planned:
        """What the running ``plan()`` answers; each input is put to it once."""
        key = (cache, facts.believed, facts.gateway, facts.believes_served, facts.image)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._ask(cache, facts)
        return found

    def _ask(self, cache: Objects, facts: Facts) -> Planned:
        resource = find(cache, self.kind, NAME)
        assert resource is not None
        service = _read(resource)
        options = Options(
            image=f"server:{facts.image}",
            gateway=GatewayRef(name="gateway", namespace="fairlead"),
            domain="example.org",
        )
        return planned(self.planner(service, _observed(cache, resource, facts), NOW, options))

    # --- the world ---------------------------------------------------------------------
    def progress(self, state: State) -> Iterator[Step]:
        """Deployment controller, gateway and garbage collector."""
        return world.progress(state)

    def disturbances(self, state: State) -> Iterator[Step]:
        """Users, other people, bad luck."""
        for step in world.disturbances(state, self):
            yield step._replace(state=step.state._replace(left=state.left - 1))

    def healed(self, state: State) -> State:
        """Everything outside is well."""
        return world.healed(state)

    def aged(self, facts: Any) -> Facts:
        """What was remembered of the claim is asked anew."""
        aged: Facts = facts._replace(believed=facts.claim)
        return aged

    def serves(self, facts: Any, kind: str) -> bool:
        """Whether the API server knows a kind."""
        return kind != "HTTPRoute" or bool(facts.serves)

    def caught_up(self, state: State) -> State:
        """Of this kind everything is taken from the cache."""
        return state

    # --- properties --------------------------------------------------------------------
    def judge_plan(self, state: State, seen: Obj, answer: Planned) -> str:
        """What is wrong with a plan, where the operator could know."""
        return properties.of_plan(state, seen, answer)

    def committed(self, before: State, write: Write, after: State, made: Obj | None) -> Step:
        """Judge what the operator wrote."""
        return Step((), after, properties.of_write(before, write, after))

    def judge_rest(self, state: State) -> str:
        """The revision that the spec asks for serves alone."""
        return properties.of_rest(state)


@functools.cache
def _read(resource: Obj) -> ModelService:
    return ModelService.read(resource.manifest)


def _observed(cache: Objects, resource: Obj, facts: Facts) -> Observed:
    """What ``observe`` would gather from this cache."""

    def named(kind: str) -> tuple[Manifest, ...]:
        found = (obj.manifest for obj in of_kind(cache, kind))
        return tuple(
            manifest
            for manifest in found
            if manifest["metadata"]["labels"].get(names.LABEL_MODELSERVICE) == NAME
        )

    def own(kind: str) -> tuple[Manifest, ...]:
        return tuple(each for each in named(kind) if owned_by(each, resource.uid))

    spec = resource.manifest["spec"]
    job = find(cache, names.FINETUNEJOB, objects.JOB) if "fineTuneJobRef" in spec["model"] else None
    gateways = {"fairlead/gateway": GATEWAY if facts.gateway else None}
    has_gateways = facts.believes_served and spec.get("gatewayRefs") != []
    return Observed(
        pods=named("Pod"),
        services=own("Service"),
        deployments=own("Deployment"),
        revisions=own("ControllerRevision"),
        routes=own("HTTPRoute"),
        claims={"models": {"metadata": {"name": "models"}} if facts.believed else None},
        fine_tune_job=job.manifest if job else None,
        has_gateway_api=facts.believes_served,
        gateways=gateways if has_gateways else {},
    )
