"""A reconciler over the in-memory cluster, with a planner small enough to see through."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fairlead_api import names
from fairlead_api.base import Resource
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_operator import kube
from fairlead_operator.intake import Intake
from fairlead_operator.observe import Observer
from fairlead_operator.plan import CreateOnce, Manifest, Observed, Plan
from fairlead_operator.reconcile import Planner, Reconciler
from fairlead_operator.store import Key, Store
from fairlead_operator.testing import MemoryCluster
from fairlead_operator.workqueue import WorkQueue

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclasses.dataclass
class World:
    """Everything between a watch event and a write, and the hands to move it."""

    cluster: MemoryCluster
    store: Store
    queue: WorkQueue[Key]
    intake: Intake
    reconciler: Reconciler
    plan: Callable[[Resource, Observed, datetime], Plan]
    now: datetime = START
    seen: Observed | None = None
    monotonic: float = 0.0

    def run_plan(self, resource: Resource, observed: Observed, now: datetime) -> Plan:
        self.seen = observed
        return self.plan(resource, observed, now)

    async def make(self, manifest: Manifest) -> Key:
        made = await self.cluster.create(manifest)
        self.cluster.calls.clear()
        head = made["metadata"]
        return Key(kube.kind_of(made), head["namespace"], head["name"])

    async def live(self, key: Key) -> Manifest:
        return await self.cluster.get(key.kind, key.namespace, key.name)

    async def drain(self, most: int = 50) -> int:
        """Reconcile until no key is ready; returns the number of passes."""
        passes = 0
        while len(self.queue):
            passes += 1
            assert passes <= most, "the queue never came to rest"
            key = await asyncio.wait_for(self.queue.get(), 30)
            await self.reconciler.attempt(key)
            self.queue.done(key)
        return passes


def config_map(resource: Resource, suffix: str = "run", **metadata: object) -> Manifest:
    head = resource.metadata
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{head.name}-{suffix}",
            "namespace": head.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_FINETUNEJOB: head.name,
            },
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.FINETUNEJOB,
                    "name": head.name,
                    "uid": head.uid,
                    "controller": True,
                }
            ],
        }
        | metadata,
        "data": {"run.json": "{}"},
    }


def one_child(resource: Resource, observed: Observed, now: datetime) -> Plan:
    """Create one ConfigMap and say how many there are."""
    children = len(observed.config_maps)
    return Plan(
        status={"phase": "Made" if children else "Making", "observedGeneration": 1},
        acts=() if children else (CreateOnce(config_map(resource)),),
    )


@pytest.fixture
def child() -> Callable[..., Manifest]:
    """Builds a child of a resource."""
    return config_map


@pytest.fixture
def owner_before() -> Callable[[Resource], Manifest]:
    """The owner reference that an earlier resource of the same name gave its children."""

    def reference(resource: Resource) -> Manifest:
        (own,) = config_map(resource)["metadata"]["ownerReferences"]
        return own | {"uid": "before"}

    return reference


@pytest.fixture
def world() -> Iterator[World]:
    cluster, store, queue = MemoryCluster(), Store(), WorkQueue[Key]()
    intake = Intake(store, queue)
    cluster.listen(intake.event)
    observer = Observer(cluster, store, lambda: made.monotonic)

    def plan(resource: Resource, observed: Observed, now: datetime) -> Plan:
        return made.run_plan(resource, observed, now)

    planners = {
        kube.FINETUNEJOB: Planner(FineTuneJob.read, plan),
        kube.MODELSERVICE: Planner(ModelService.read, plan),
    }
    reconciler = Reconciler(cluster, store, queue, observer, planners, lambda: made.now)
    made = World(cluster, store, queue, intake, reconciler, one_child)
    yield made


@pytest.fixture
def job() -> Manifest:
    """A FineTuneJob as a user writes it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": "tune", "namespace": "team"},
        "spec": {
            "model": {"uri": "pvc://models/base"},
            "datasets": [{"name": "rows", "uri": "pvc://data/rows.jsonl"}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "work"},
        },
    }


@pytest.fixture
def service() -> Manifest:
    """A ModelService that serves what the FineTuneJob above made."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "serve", "namespace": "team"},
        "spec": {"model": {"fineTuneJobRef": {"name": "tune"}}},
    }


@pytest.fixture
def later() -> Callable[[float], datetime]:
    """A moment that many seconds after the world's beginning."""
    return lambda seconds: START + timedelta(seconds=seconds)


@pytest.fixture
async def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Moves the event loop's time by hand: ``pass_time(5)`` fires what is due within 5 s."""
    loop = asyncio.get_running_loop()
    offset, real = [0.0], loop.time

    async def advance(seconds: float) -> None:
        offset[0] += seconds
        for _ in range(3):
            await asyncio.sleep(0)

    monkeypatch.setattr(loop, "time", lambda: real() + offset[0])
    return advance
