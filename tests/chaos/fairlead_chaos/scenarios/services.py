"""What may be done to a ModelService, and what may be waited for: the sentences of its stories."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import ModelServiceCondition, Reason
from fairlead_api.modelservice import ModelService, PinnedModel
from fairlead_chaos import tenant
from fairlead_chaos.scenario import Fate, Hands, Manifest, Scenario
from fairlead_chaos.scenarios import ends, states
from fairlead_chaos.scenarios.ends import Fates
from fairlead_chaos.scenarios.states import Holds
from fairlead_operator import kube
from fairlead_operator.serving import pod, revision
from fairlead_operator.settings import Settings

URI: Final = f"pvc://{tenant.CLAIM}/base"
NO_ROOM: Final = {"limits": {"example.com/nowhere": "1"}}
"""Resources that no node has: pods that ask for them are never scheduled."""
Story = Callable[["Service"], Awaitable[None]]


def scenario(story: Story, *fates: Fates, **settings: str) -> Scenario:
    """The scenario of a story about one ModelService; both bear the story's own name."""
    name = story.__name__.replace("_", "-")

    async def told(hands: Hands) -> None:
        await story(Service(hands, name))

    mine = ends.of_scenario(name, names.LABEL_MODELSERVICE, itertools.chain(*fates))
    return Scenario(name, names.MODELSERVICE, told, mine, tuple(sorted(settings.items())))


def modelservice(name: str, **spec: Any) -> Manifest:
    """A ModelService on the namespace's claim; ``spec`` replaces whole fields."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": name},
        "spec": {"model": {"uri": URI}} | spec,
    }


def revision_of(name: str, **spec: Any) -> str:
    """The revision that the operator gives a service of this spec, with a run's own settings."""
    body = modelservice(name, **spec)
    body["metadata"] |= {"namespace": "any", "uid": "any"}
    options = Settings.from_env(tenant.environment("any", {})).serving()
    model = PinnedModel(uri=body["spec"]["model"]["uri"])
    return revision.short_hash(pod.template(ModelService.read(body), model, options))


def crashes(message: str, of_revision: str) -> Fates:
    """The pods of a revision end, again and again."""
    selector = {names.LABEL_REVISION: of_revision}
    return (Fate("", selector, exit_code=1, message=message, is_ready=False),)


@dataclass(frozen=True)
class Service:
    """A ModelService of a run."""

    hands: Hands
    name: str

    async def create(self, **spec: Any) -> None:
        """Create it."""
        await self.hands.create(modelservice(self.name, **spec))

    async def delete(self) -> None:
        """Delete it; its children follow."""
        await self.hands.delete(kube.MODELSERVICE, self.name)

    async def until(self, holds: Holds, what: str) -> Manifest:
        """Wait until it holds of the resource, which is there then."""
        found = await self.hands.until(kube.MODELSERVICE, self.name, holds, f"{self.name}: {what}")
        assert found is not None, what
        return found

    async def is_ready(self, generation: int = 0) -> str:
        """Wait until all that serves what this generation asks for is available.

        Returns the revision.
        """
        found = await self.until(states.is_ready(generation), "it is ready")
        revision, replicas = str(found["status"]["stable"]), found["spec"]["replicas"]
        available = states.is_available(replicas)
        name = self.child_name(revision)
        await self.hands.until(kube.DEPLOYMENT, name, available, f"{name}: {replicas} available")
        return revision

    async def born(self, **spec: Any) -> str:
        """Create it and wait until it is ready; returns its revision."""
        await self.create(**spec)
        return await self.is_ready()

    async def edit(self, **spec: Any) -> int:
        """Change fields of its spec; returns the generation that this makes."""
        change = {"spec": spec}
        found = await self.hands.patch(kube.MODELSERVICE, self.name, change)
        return int(found["metadata"]["generation"])

    async def rolled(self, **spec: Any) -> str:
        """Change fields of its spec that make another revision, and see the rollout through.

        Returns the new revision. Takes the five seconds that pods are watched for before traffic
        moves, and the ten that the revision before stays.
        """
        before = await self.stable()
        after = await self.is_ready(await self.edit(**spec))
        assert after != before, f"{spec} made no other revision"
        await self.is_retired(before)
        return after

    async def scale(self, replicas: int) -> int:
        """Set its replicas through the scale subresource; returns the generation."""
        await self.hands.patch(
            kube.MODELSERVICE, self.name, {"spec": {"replicas": replicas}}, "scale"
        )
        found = await self.until(states.has_spec(replicas=replicas), "the scale is written")
        return int(found["metadata"]["generation"])

    async def stable(self) -> str:
        """The revision that takes the traffic."""
        found = await self.until(lambda one: bool(states.status_of(one).get("stable")), "stable")
        return str(found["status"]["stable"])

    async def candidate(self, **spec: Any) -> str:
        """Ask for a revision that never becomes ready; returns it once all its children are there.

        Its Service is the last of them.
        """
        stable = await self.stable()
        await self.edit(**spec)
        found = await self.until(states.has_candidate_beside(stable), "a candidate is on its way")
        revision = str(found["status"]["candidate"])
        await self.child(kube.SERVICE, revision)
        return revision

    async def is_retired(self, revision: str) -> None:
        """Wait until a revision's Deployment and Service are gone; its record may stay."""
        for kind in (kube.DEPLOYMENT, kube.SERVICE):
            await self.is_gone(kind, revision)

    async def is_gone(self, kind: kube.Kind, revision: str = "") -> None:
        """Wait until a revision's child is gone; the service's own where none is given."""
        name = self.child_name(revision)
        await self.hands.until(kind, name, states.is_gone, f"{kind.kind} {name} is gone")

    async def is_forgotten(self, *revisions: str) -> None:
        """Wait until nothing is left of these revisions but pods."""
        for each in revisions:
            for kind in (kube.DEPLOYMENT, kube.SERVICE, kube.REVISION):
                await self.is_gone(kind, each)

    async def is_collected(self, *revisions: str) -> None:
        """Wait until nothing is left of it."""
        await self.is_forgotten(*revisions)
        await self.is_gone(kube.SERVICE)
        await self.has_pods(0)

    async def is_routed(self) -> None:
        """Wait until every gateway takes its route in as it is now, and it tells so."""
        what = f"{self.name}: its route is taken in"
        await self.hands.until(kube.HTTP_ROUTE, self.name, states.is_taken_in, what)
        await self.says(ModelServiceCondition.ROUTE_READY, "True", Reason.ACCEPTED)

    async def is_at(self, url: str) -> None:
        """Wait until it tells that clients find it there."""
        await self.until(lambda one: states.status_of(one).get("url") == url, f"it is at {url}")

    async def loses(self, kind: kube.Kind, revision: str = "") -> None:
        """Delete a child, and wait until another one has its name."""
        found = await self.child(kind, revision)
        name = self.child_name(revision)
        await self.hands.delete(kind, name)
        anew = states.is_new(found["metadata"]["uid"])
        await self.hands.until(kind, name, anew, f"{kind.kind} {name} is back")

    async def child(self, kind: kube.Kind, revision: str = "") -> Manifest:
        """Wait until a revision's child is there, and return it."""
        name = self.child_name(revision)
        found = await self.hands.until(kind, name, states.is_there, f"{kind.kind} {name}")
        assert found is not None
        return found

    async def has_pods(self, num_pods: int) -> None:
        """Wait until so many pods are there and ready, and no other."""
        labels = {names.LABEL_MODELSERVICE: self.name}
        what = f"{self.name}: {num_pods} ready pods"
        await self.hands.until_pods(labels, states.all_ready(num_pods), what)

    async def says(self, type_: ModelServiceCondition, status: str, reason: str) -> None:
        """Wait until a condition stands so."""
        what = f"{type_}: {status}: {reason}"
        await self.until(states.says(type_, status, reason), what)

    def child_name(self, revision: str = "") -> str:
        """The name of a revision's children; of the service's own where none is given."""
        return names.revision_name(self.name, revision) if revision else self.name
