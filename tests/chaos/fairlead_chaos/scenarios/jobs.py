"""What may be done to a FineTuneJob, and what may be waited for: the sentences of its stories."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition
from fairlead_api.finetunestatus import Stage
from fairlead_chaos import tenant
from fairlead_chaos.scenario import Hands, Manifest, Scenario
from fairlead_chaos.scenarios import ends, manifests, states
from fairlead_chaos.scenarios.ends import Fates
from fairlead_chaos.scenarios.states import Holds
from fairlead_operator import kube

_SPEC: Final = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "inline": manifests.ROWS}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": tenant.CLAIM},
}


def finetunejob(name: str, **spec: Any) -> Manifest:
    """A FineTuneJob on the namespace's claim; ``spec`` replaces whole fields."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": name},
        "spec": _SPEC | spec,
    }


def two_nodes_on(claim: str) -> dict[str, Any]:
    """The fields of a spec that has two workers on one claim."""
    return {
        "numNodes": 2,
        "model": {"uri": f"pvc://{claim}/base"},
        "storage": {"claimName": claim},
    }


Story = Callable[["Job"], Awaitable[None]]


def scenario(story: Story, *fates: Fates, **settings: str) -> Scenario:
    """The scenario of a story about one FineTuneJob; both bear the story's own name."""
    name = story.__name__.replace("_", "-")

    async def told(hands: Hands) -> None:
        await story(Job(hands, name))

    mine = ends.of_scenario(name, names.LABEL_FINETUNEJOB, itertools.chain(*fates))
    return Scenario(name, names.FINETUNEJOB, told, mine, tuple(sorted(settings.items())))


@dataclass(frozen=True)
class Job:
    """A FineTuneJob of a run."""

    hands: Hands
    name: str

    async def create(self, **spec: Any) -> None:
        """Create it."""
        await self.hands.create(finetunejob(self.name, **spec))

    async def patch(self, **spec: Any) -> None:
        """Change fields of its spec."""
        await self.hands.patch(kube.FINETUNEJOB, self.name, {"spec": spec})

    async def suspended(self) -> None:
        """Suspend it and wait until it says so."""
        await self.patch(suspend=True)
        await self.until(states.says(FineTuneJobCondition.SUSPENDED, "True"), "it is suspended")

    async def resumed(self) -> None:
        """Let it go on."""
        await self.patch(suspend=False)

    async def delete(self) -> None:
        """Delete it; its children follow."""
        await self.hands.delete(kube.FINETUNEJOB, self.name)

    async def until(self, holds: Holds, what: str) -> Manifest:
        """Wait until it holds of the resource, which is there then."""
        found = await self.hands.until(kube.FINETUNEJOB, self.name, holds, f"{self.name}: {what}")
        assert found is not None, what
        return found

    async def trains(self, attempt: int = 1) -> None:
        """Wait until every worker of an attempt runs."""
        await self.until(states.trains(attempt), f"attempt {attempt} trains")

    async def completes(self) -> None:
        """Wait for its good end."""
        await self.until(states.says(FineTuneJobCondition.COMPLETE, "True"), "it is complete")

    async def fails(self, reason: str) -> None:
        """Wait for its bad end."""
        await self.until(states.says(FineTuneJobCondition.FAILED, "True", reason), "it has failed")

    async def is_refused(self, reason: str) -> None:
        """Wait until it says why it can't run as things stand."""
        refused = states.says(FineTuneJobCondition.ADMITTED, "False", reason)
        await self.until(refused, f"it isn't admitted: {reason}")

    async def pod(self, stage: Stage, attempt: int = 1) -> str:
        """Wait until an attempt's one pod is ready, and return its name."""
        labels = {names.LABEL_FINETUNEJOB: self.name} | ends.pods(stage, attempt)
        what = f"{self.name}: the pod of {stage} {attempt}"
        (found,) = await self.hands.until_pods(labels, states.all_ready(1), what)
        name: str = found["metadata"]["name"]
        return name

    async def pod_waits(self, stage: Stage, attempt: int = 1) -> None:
        """Wait until no node takes an attempt's one pod."""
        labels = {names.LABEL_FINETUNEJOB: self.name} | ends.pods(stage, attempt)
        what = f"{self.name}: no node takes the pod of {stage} {attempt}"
        await self.hands.until_pods(labels, states.all_unscheduled(1), what)

    async def evicted(self, attempt: int) -> None:
        """Drain the node of a Train attempt's one pod, once it runs."""
        await self.trains(attempt)
        await self.hands.evict(await self.pod(Stage.TRAIN, attempt))

    async def has_no_pods(self, stage: Stage, attempt: int = 1) -> None:
        """Wait until an attempt's pods are gone."""
        labels = {names.LABEL_FINETUNEJOB: self.name} | ends.pods(stage, attempt)
        what = f"{self.name}: the pods of {stage} {attempt} are gone"
        await self.hands.until_pods(labels, states.none_left, what)

    def attempt(self, stage: Stage, attempt: int = 1) -> str:
        """The name of an attempt's Job."""
        return names.stage_job_name(self.name, stage, attempt)

    async def is_collected(self, *attempts: tuple[Stage, int]) -> None:
        """Wait until nothing is left of it: neither pods nor Jobs nor what they read."""
        pods = {names.LABEL_FINETUNEJOB: self.name}
        await self.hands.until_pods(pods, states.none_left, f"{self.name}: no pod is left")
        for stage, attempt in attempts:
            await self._is_gone(kube.JOB, self.attempt(stage, attempt))
        await self._is_gone(kube.CONFIG_MAP, names.run_config_name(self.name))
        await self._is_gone(kube.SERVICE, names.workers_service_name(self.name))

    async def _is_gone(self, kind: kube.Kind, name: str) -> None:
        await self.hands.until(kind, name, states.is_gone, f"{kind.kind} {name} is collected")

    async def child(self, kind: kube.Kind, name: str) -> Manifest:
        """Wait until a child is there, and return it."""
        found = await self.hands.until(kind, name, states.is_there, f"{kind.kind} {name}")
        assert found is not None
        return found
