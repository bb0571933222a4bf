"""The operator killed right after the transitions of a ModelService's status.

As for a FineTuneJob: two services live through the same rollout, one of them under operators that
are killed as soon as a watch tells of a transition. Both end alike, with the same creations and
deletions. No node runs the pods: the test says which are ready, as a kubelet would.
"""

import asyncio
import contextlib
import json
import signal
from collections import Counter
from datetime import UTC, datetime

import pytest

from fairlead_api import names
from fairlead_operator import kube

pytestmark = pytest.mark.cluster

STORY_SECONDS = 400  # other work runs on the same cores
KILLED_AT = (
    "Unseen",
    "first stable",
    "first ready",
    "second on its way",
    "second ready",
)
NUM_CREATED = 7  # for each revision a record, a Deployment and a Service; the stable Service


class Rollout:
    """A service whose spec is edited once, and what befalls it."""

    def __init__(self, kubectl, until, api, team, name):
        self._kubectl, self._until, self._api = kubectl, until, api
        self.team, self.name = team, name
        self.revisions = []

    def moment(self, service):
        """Where the service stands, in a few words."""
        status = service.get("status") or {}
        stable, candidate = status.get("stable"), status.get("candidate")
        for found in (stable, candidate):
            if found and found not in self.revisions:
                self.revisions.append(found)
        if candidate:
            return f"{self._ordinal(candidate)} on its way"
        if not stable:
            return "Unseen"
        reasons = {each["type"]: each["reason"] for each in status["conditions"]}
        is_ready = (reasons["Ready"], reasons["Progressing"]) == ("ReplicasReady", "RolledOut")
        return f"{self._ordinal(stable)} {'ready' if is_ready else 'stable'}"

    def _ordinal(self, revision):
        return ("first", "second")[self.revisions.index(revision)]

    async def make_ready(self):
        """The newest revision's pod answers."""
        newest = {
            names.LABEL_MODELSERVICE: self.name,
            names.LABEL_REVISION: self.revisions[-1],
        }

        async def pods():
            found = await self._api.list_heads(kube.POD, self.team, newest)
            return [pod["metadata"]["name"] for pod in found]

        (pod,) = await self._until(pods, f"a pod of {self.revisions[-1]}")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        patch = json.dumps({"status": {"phase": "Running", "conditions": [ready]}})
        self._kubectl("patch", "pod", pod, "-n", self.team, "--subresource=status", "-p", patch)

    async def edit(self):
        """Ask for another revision."""
        patch = json.dumps({"spec": {"engine": {"maxModelLen": 64}}})
        place = ("-n", self.team, "--type=merge")
        self._kubectl("patch", "modelservices.fairlead.dev", self.name, *place, "-p", patch)

    def anonymous(self, text):
        """A text without what differs between two services of the same fate."""
        text = text.replace(self.name, "served")
        for place, revision in enumerate(self.revisions):
            text = text.replace(revision, f"revision-{place}")
        return text

    async def children(self):
        """What is there of the service."""
        mine = {names.LABEL_MODELSERVICE: self.name}
        found = [
            (kind.kind, self.anonymous(head["metadata"]["name"]))
            for kind in (kube.DEPLOYMENT, kube.SERVICE, kube.REVISION)
            for head in await self._api.list_heads(kind, self.team, mine)
        ]
        return sorted(found)

    async def retired(self):
        """Wait until the old revision's pods may go."""

        async def gone():
            return len([kind for kind, _ in await self.children() if kind == "Deployment"]) == 1

        await self._until(gone, "the end of the old revision")

    async def state(self):
        """What stands in the end, without times and names."""
        live = await self._api.get(kube.MODELSERVICE, self.team, self.name)
        status = live["status"]
        status["stableTime"] = "some time"
        for condition in status["conditions"]:
            condition["lastTransitionTime"] = "some time"
        return json.loads(self.anonymous(json.dumps(status))), await self.children()


@pytest.fixture
def new_rollout(kubectl, until, api, team):
    async def make(name):
        made = await api.create(
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODELSERVICE,
                "metadata": {"name": name, "namespace": team},
                "spec": {"model": {"uri": "pvc://work/base"}},
            }
        )
        return Rollout(kubectl, until, api, team, name), made["metadata"]["resourceVersion"]

    return make


@pytest.fixture
def tell(start, moments, new_rollout):
    """Lets a service live through its rollout; returns it and the replica that saw the end."""

    async def told(name, replica, killed_at=()):
        rollout, version = await new_rollout(name)
        befalls = {
            "first stable": rollout.make_ready,
            "first ready": rollout.edit,
            "second on its way": rollout.make_ready,
        }
        left = list(killed_at)
        heard = moments(kube.MODELSERVICE, name, version, rollout.moment)
        async with asyncio.timeout(STORY_SECONDS), contextlib.aclosing(heard):
            async for now in heard:
                if now in left:
                    left.remove(now)
                    replica.stop(signal.SIGKILL)
                    replica = start("one")  # the same pod's next container: the Lease is its own
                if now in befalls:
                    await befalls[now]()
                if now == "second ready":
                    break
        assert left == [], "the story has no such moment"
        await rollout.retired()
        return rollout, replica

    return told


async def test_killed_at_every_transition_ends_like_the_undisturbed(
    start, tell, created_and_deleted, alike
):
    replica = start("one")
    await replica.leading()
    calm, replica = await tell("calm", replica)
    shaken, replica = await tell("shaken", replica, KILLED_AT)
    await replica.passed()
    await alike(shaken.state, calm.state)
    writes = [
        Counter(
            {
                (verb, resource, rollout.anonymous(name)): count
                for (verb, resource, name), count in created_and_deleted(rollout.name).items()
            }
        )
        for rollout in (calm, shaken)
    ]
    assert writes[1] == writes[0]
    assert sum(n for (verb, *_), n in writes[0].items() if verb == "create") == NUM_CREATED
    assert max(writes[0].values()) == 1
