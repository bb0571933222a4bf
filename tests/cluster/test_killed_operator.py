"""The operator killed right after the transitions of a FineTuneJob's status.

Every story is told twice to a real API server: by an operator that lives, and by one that is
killed as soon as a watch tells of a transition. Both have to end alike, with the same creations
and deletions in the API server's audit log: nothing lost, nothing doubled. No node runs the
pods: they are ended by writing their status, as a kubelet would.
"""

import asyncio
import contextlib
import dataclasses
import json
import signal
from collections.abc import Callable

import pytest

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import EXIT_CODES, Cause, Termination
from fairlead_chaos.scenarios import ends
from fairlead_operator import kube

pytestmark = pytest.mark.cluster

STORY_SECONDS = 400  # other work runs on the same cores
LAST_WORDS = "ValueError: no such optimizer"
ENDS = {"Succeeded": "Complete", "Failed": "Failed"}
"""A job's last phases, each with the condition that says why."""
TIMES = {"startTime", "completionTime", "retryTime"}


def moment(job):
    """Where a job stands, in a few words."""
    status = job.get("status") or {}
    if status.get("phase") in {*ENDS, "Suspended"}:
        return status["phase"]
    for stage in status.get("stages") or []:
        if stage["state"] != "Succeeded":
            attempt = stage.get("attempt", 0)
            is_over = attempt == stage.get("countedAttempt", 0)
            return f"{stage['name']} {attempt} {'Over' if is_over else stage['state']}"
    return "Unseen"


class Scene:
    """One job in one namespace, and what befalls it."""

    def __init__(self, kubectl, until, api, end_attempt, team, name):
        self._kubectl, self._until, self._api = kubectl, until, api
        self._end_attempt = end_attempt
        self.team, self.name = team, name

    async def end(self, stage, attempt, code, message):
        """End an attempt's container."""
        job = names.stage_job_name(self.name, stage, attempt)
        await self._end_attempt(job, code, message)

    async def suspend(self, *, wanted):
        """Write spec.suspend."""
        patch = json.dumps({"spec": {"suspend": wanted}})
        place = ("-n", self.team, "--type=merge")
        self._kubectl("patch", "finetunejobs.fairlead.dev", self.name, *place, "-p", patch)

    async def nothing_runs(self):
        """Wait until the suspended job's pods are gone."""

        async def gone():
            pods = await self._api.list_heads(kube.POD, self.team)
            return not [p for p in pods if p["metadata"]["name"].startswith(f"{self.name}-train-")]

        await self._until(gone, "the pods of the suspended job are gone")

    async def state(self):
        """What stands in the end, without times and the job's own name."""
        live = await self._api.get(kube.FINETUNEJOB, self.team, self.name)
        status = live["status"]
        for stage in status["stages"]:
            for time in TIMES & set(stage):
                stage[time] = "some time"
        for condition in status["conditions"]:
            condition["lastTransitionTime"] = "some time"
        mine = {names.LABEL_FINETUNEJOB: self.name}
        children = [
            (kind.kind, head["metadata"]["name"])
            for kind in (kube.JOB, kube.CONFIG_MAP, kube.SERVICE)
            for head in await self._api.list_heads(kind, self.team, mine)
        ]
        text = json.dumps([status, sorted(children)], sort_keys=True)
        return json.loads(text.replace(self.name, "tune"))


def succeed(stage, attempt=1):
    return lambda scene: scene.end(stage, attempt, 0, ends.success(stage))


def fail(code, message):
    return lambda scene: scene.end(Stage.TRAIN, 1, code, message)


async def suspend(scene):
    await scene.suspend(wanted=True)


async def resume(scene):
    await scene.nothing_runs()
    await scene.suspend(wanted=False)


@dataclasses.dataclass(frozen=True)
class Story:
    """What befalls a job at which moment, how it ends, and when the operator is killed."""

    befalls: dict[str, Callable]
    end: str
    killed_at: tuple[str, ...]
    num_created: int
    says: str = "the artifact is exported"
    """What the condition of its end says."""
    spec: dict = dataclasses.field(default_factory=dict)


PREPARED = {"Prepare 1 Running": succeed(Stage.PREPARE)}
EXPORTED = {"Export 1 Running": succeed(Stage.EXPORT)}
CRASH = Termination(cause=Cause.CRASHED, message=LAST_WORDS).to_message()
STORIES = [
    pytest.param(
        Story(
            PREPARED | {"Train 1 Running": succeed(Stage.TRAIN)} | EXPORTED,
            end="Succeeded",
            killed_at=(
                "Unseen",
                "Prepare 1 Pending",
                "Prepare 1 Running",
                "Train 1 Pending",
                "Train 1 Running",
                "Export 1 Pending",
                "Export 1 Running",
                "Succeeded",
            ),
            num_created=4,
        ),
        id="complete",
    ),
    pytest.param(
        Story(
            PREPARED | {"Train 1 Running": fail(1, LAST_WORDS)},
            end="Failed",
            killed_at=("Failed",),
            num_created=3,
            says=LAST_WORDS,
            spec={"maxRestarts": 0},
        ),
        id="failed",
    ),
    pytest.param(
        Story(
            PREPARED
            | {
                "Train 1 Running": fail(EXIT_CODES[Cause.CRASHED], CRASH),
                "Train 2 Running": succeed(Stage.TRAIN, 2),
            }
            | EXPORTED,
            end="Succeeded",
            killed_at=("Train 1 Over", "Train 2 Pending", "Train 2 Running"),
            num_created=5,
        ),
        id="retried",
    ),
    pytest.param(
        Story(
            PREPARED
            | {
                "Train 1 Running": suspend,
                "Suspended": resume,
                "Train 2 Running": succeed(Stage.TRAIN, 2),
            }
            | EXPORTED,
            end="Succeeded",
            killed_at=("Suspended", "Train 2 Pending", "Train 2 Running"),
            num_created=5,
        ),
        id="suspended-and-resumed",
    ),
]


@pytest.fixture
def new_scene(kubectl, until, api, end_attempt, team):
    """Makes a job and returns its scene, with the version from which to watch it."""

    async def make(name, spec):
        base = {
            "model": {"uri": "pvc://work/base"},
            "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "work"},
        }
        job = {
            "apiVersion": names.API_VERSION,
            "kind": names.FINETUNEJOB,
            "metadata": {"name": name, "namespace": team},
            "spec": base | spec,
        }
        made = await api.create(job)
        version = made["metadata"]["resourceVersion"]
        return Scene(kubectl, until, api, end_attempt, team, name), version

    return make


@pytest.fixture
def tell(start, moments, new_scene):
    """Lets a story happen to a job; returns its scene and the replica that saw the end."""

    async def told(story, name, replica, killed_at=()):
        scene, version = await new_scene(name, story.spec)
        left = list(killed_at)
        async with (
            asyncio.timeout(STORY_SECONDS),
            contextlib.aclosing(moments(kube.FINETUNEJOB, name, version, moment)) as heard,
        ):
            async for now in heard:
                if now in left:
                    left.remove(now)
                    replica.stop(signal.SIGKILL)
                    replica = start("one")  # the same pod's next container: the Lease is its own
                if now in story.befalls:
                    await story.befalls[now](scene)
                if now in ENDS:
                    break
        assert now == story.end
        assert left == [], "the story has no such moment"
        return scene, replica

    return told


@pytest.mark.parametrize("story", STORIES)
async def test_killed_at_every_transition_ends_like_the_undisturbed(
    start, tell, created_and_deleted, alike, story
):
    replica = start("one")
    await replica.leading()
    calm, replica = await tell(story, "calm", replica)
    shaken, replica = await tell(story, "shaken", replica, story.killed_at)
    await replica.passed()
    await alike(shaken.state, calm.state)
    state = await calm.state()
    messages = {each["type"]: each["message"] for each in state[0]["conditions"]}
    assert story.says in messages[ENDS[story.end]]
    writes = created_and_deleted(calm.name)
    assert sum(count for (verb, *_), count in writes.items() if verb == "create") == (
        story.num_created
    ), writes
    assert created_and_deleted(shaken.name) == writes
