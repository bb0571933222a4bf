"""A killed leader is followed, soon and never too soon: by the Lease, and by the next one's write.

On a machine that is busy with other work requests are answered late. So a takeover that was too
slow is repeated a few times, and the time from the taking to the first write is held against the
answers that this test itself got meanwhile.
"""

import dataclasses
import signal
import time
from datetime import datetime

import pytest

from fairlead_api import metrics, names
from fairlead_operator import kube
from fairlead_operator.leader import LEASE_SECONDS

pytestmark = pytest.mark.cluster

GOAL_SECONDS = 20
"""From the kill until another replica holds the lease."""
BEGIN_SECONDS = 3
"""From there to the first write: a list of every kind, a plan, the write."""
NUM_LAGS, MOST_SLACK_SECONDS = 3, 10
"""What slow answers may add to that: so many times what we waited for the same lists."""
NUM_KILLS, MOST_TRIES = 2, 3
NUM_REPLICAS = 3

SPEC = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "work"},
}

moment = datetime.fromisoformat


@dataclasses.dataclass(frozen=True)
class Takeover:
    """What one took, in seconds."""

    taken: float
    """From the kill to the moment that the next leader put on the lease."""
    begun: float
    """From there to its first write, by the API server's account."""
    lag: float
    """How long we waited meanwhile for lists of every kind."""

    @property
    def is_soon(self):
        slack = min(NUM_LAGS * self.lag, MOST_SLACK_SECONDS)
        return self.taken <= GOAL_SECONDS and self.begun <= BEGIN_SECONDS + slack

    def __str__(self):
        return f"taken {self.taken:.1f} s, begun {self.begun:.1f} s, lag {self.lag:.2f} s"


class Replicas:
    """One that leads, and others that wait: as many after a kill as before."""

    def __init__(self, start, until):
        self._start, self._until = start, until
        self._num_started, self.living = 0, {}

    async def fill(self):
        """Start what is missing; return once all of it is up."""
        while len(self.living) < NUM_REPLICAS:
            name = f"replica-{self._num_started}"
            self._num_started += 1
            self.living[name] = self._start(name)
        for name, replica in self.living.items():

            async def is_up(replica=replica):
                return replica.sample(metrics.LEADER) is not None

            await self._until(is_up, f"{name} is up")


@pytest.fixture
def first_write(cluster, team, until):
    """When the API server got the first write to a job's status, seconds since the epoch."""

    async def waited(name, since):
        async def found():
            written = [
                moment(event["requestReceivedTimestamp"]).timestamp()
                for event in cluster.audited(f'"{team}"', since)
                if event["verb"] == "patch" and event["objectRef"].get("name") == name
            ]
            return min(written, default=None)

        return await until(found, f"somebody writes to {name}")

    return waited


@pytest.fixture
def lease_of(api, team, until):
    """Waits until one of some replicas holds the lease; its spec."""

    async def waited(replicas):
        async def held():
            found = (await api.get(kube.LEASE, team, "fairlead-operator"))["spec"]
            return found if found["holderIdentity"] in replicas else None

        return await until(held, "a replica leads")

    return waited


@pytest.fixture
def killed(api, cluster, team, lease_of, first_write):
    """Kills the replica that leads while a job is new."""

    async def done(replicas, name):
        leads = await lease_of(replicas)
        leader = replicas.pop(leads["holderIdentity"])
        await leader.leading()
        since, at = cluster.audit_mark(), time.time()
        leader.stop(signal.SIGKILL)
        last = (await api.get(kube.LEASE, team, "fairlead-operator"))["spec"]
        head = {"name": name, "namespace": team}
        body = {"apiVersion": names.API_VERSION, "kind": names.FINETUNEJOB, "metadata": head}
        await api.create(body | {"spec": SPEC})

        taken = await lease_of(replicas)
        began = time.monotonic()
        for kind in kube.WATCHED:
            if kind not in kube.OPTIONAL:
                await api.list_heads(kind, team)
        lag = time.monotonic() - began

        silent = moment(taken["acquireTime"]) - moment(last["renewTime"])
        assert silent.total_seconds() >= LEASE_SECONDS, "two might have led at once"
        held_at = moment(taken["acquireTime"]).timestamp()
        return Takeover(held_at - at, await first_write(name, since) - held_at, lag)

    return done


async def test_the_next_leader_takes_the_lease_within_twenty_seconds_of_each_kill_and_writes(
    start, until, killed
):
    replicas = Replicas(start, until)
    for number in range(NUM_KILLS):
        tries = []
        while len(tries) < MOST_TRIES and not any(each.is_soon for each in tries):
            await replicas.fill()
            tries.append(await killed(replicas.living, f"tune-{number}-{len(tries)}"))
            print(f"kill {number}: {tries[-1]}")
        assert tries[-1].is_soon, [str(each) for each in tries]
