"""A killed leader is followed, soon and never too soon: from the kill to the next one's write."""

import signal
import time
from datetime import datetime

import pytest

from fairlead_api import names
from fairlead_operator import kube
from fairlead_operator.leader import LEASE_SECONDS

pytestmark = pytest.mark.cluster

GOAL_SECONDS = 20
NUM_KILLS = 2


moment = datetime.fromisoformat


@pytest.fixture
def first_write(cluster, team, until):
    """When the API server got the first write to a job's status, seconds since the epoch."""

    async def waited(name):
        async def found():
            written = [
                moment(event["requestReceivedTimestamp"]).timestamp()
                for event in cluster.audited(f'"{team}"')
                if event["verb"] == "patch" and event["objectRef"].get("name") == name
            ]
            return min(written, default=None)

        return await until(found, f"somebody writes to {name}")

    return waited


async def test_the_next_leader_writes_within_twenty_seconds_of_each_kill(
    api, team, start, until, first_write
):
    replicas = {name: start(name) for name in (f"replica-{n}" for n in range(NUM_KILLS + 1))}
    spec = {
        "model": {"uri": "pvc://work/base"},
        "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "work"},
    }
    took, lags = [], []

    async def lease():
        began = time.monotonic()
        found = (await api.get(kube.LEASE, team, "fairlead-operator"))["spec"]
        lags.append(time.monotonic() - began)
        return found

    async def one_of_them_leads():
        found = await lease()
        return found if found["holderIdentity"] in replicas else None

    for number in range(NUM_KILLS):
        leads = await until(one_of_them_leads, "a replica leads")
        leader = replicas.pop(leads["holderIdentity"])
        await leader.leading()
        leader.stop(signal.SIGKILL)
        killed, last = time.time(), await lease()
        head = {"name": f"tune-{number}", "namespace": team}
        body = {"apiVersion": names.API_VERSION, "kind": names.FINETUNEJOB, "metadata": head}
        await api.create(body | {"spec": spec})
        taken = await until(one_of_them_leads, "another replica leads")
        silent = moment(taken["acquireTime"]) - moment(last["renewTime"])
        assert silent.total_seconds() >= LEASE_SECONDS, "two might have led at once"
        took.append(await first_write(head["name"]) - killed)
    print(f"from the kill to the first write: {[round(each, 1) for each in took]} s")
    # A renewal, a look and the taking are requests, which a busy machine answers late.
    assert max(took) <= GOAL_SECONDS + 3 * max(lags)
