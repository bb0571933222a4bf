"""Thousands wait while the API server is away, and while their triggerer is killed.

A control plane of this file's own, since its API server is stopped. The triggerer is Airflow's,
with files in place of its database (tests/bench/waiters/triggerer.py); tests write the status as
the operator would. FAIRLEAD_OUTAGE_SECONDS makes the outage as long as an upgrade takes.
"""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import TaskDeferred
from cryptography.fernet import Fernet

from fairlead_airflow import hooks, operators, triggers
from fairlead_api import names
from fairlead_cluster import control_plane, down, settings, up
from fairlead_operator import cluster as client
from fairlead_operator.pace import Pace

pytestmark = pytest.mark.cluster

TRIGGERER = Path(__file__).parents[1] / "bench" / "waiters" / "triggerer.py"
OUTAGE_SECONDS = float(os.environ.get("FAIRLEAD_OUTAGE_SECONDS", "20"))
PATIENCE_SECONDS = 180
NUM_WAITERS = 1000
AT_ONCE = 50
SPEC = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "configMapRef": {"name": "rows"}}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "work"},
}
COMPLETE = {
    "type": "Complete",
    "status": "True",
    "reason": "Succeeded",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def opened():
    """The control plane whose API server these tests stop."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    name = os.environ.get("FAIRLEAD_TEST_CLUSTER", "fairlead-test")
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(f"{name}-outage"))
    yield up.up(chosen, up.Wanted(control_plane_only=True))
    down.down(chosen)


@pytest.fixture(scope="module")
def cluster(opened, known):
    """The same, as this tier's fixtures know a cluster."""
    return known(opened)


@pytest.fixture
async def unpaced(cluster, api):
    """A client that makes a thousand jobs at once."""
    config = client.Configuration()
    await client.load_kube_config(str(cluster.kubeconfig), client_configuration=config)
    there = client.ApiCluster(config, lambda *_: None, Pace(1e6, 1e6))
    yield there
    await there.close()


async def of_each(call, bodies):
    """What a call returns for each; a part at a time, since a wait for a connection counts too."""
    found = []
    for begin in range(0, len(bodies), AT_ONCE):
        found += await asyncio.gather(*map(call, bodies[begin : begin + AT_ONCE]))
    return found


@pytest.fixture
def connection(cluster, team, monkeypatch):
    """The default connection, as an administrator may set it by the environment."""
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)
    # Airflow stores what triggers are made of encrypted.
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())


class Triggerer:
    """A process that runs what is stored."""

    def __init__(self, folder, stored):
        folder.mkdir()
        (folder / "triggers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in stored))
        self.folder, self.log = folder, folder / "log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(TRIGGERER), str(folder)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"JOIN_SECONDS": "2"},
            )

    def events(self):
        """What Airflow would have put into its database."""
        return self._told("events.jsonl")

    def state(self):
        told = [line for line in self._told("runner.jsonl") if "pid" in line]
        return told[-1] if told else {}

    def _told(self, file):
        path = self.folder / file
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    async def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_SECONDS + OUTAGE_SECONDS
        while not condition():
            is_well = self._process.poll() is None and time.monotonic() < deadline
            assert is_well, f"never came true: {what}\n{self.log.read_text()[-6000:]}"
            await asyncio.sleep(0.1)

    async def waits(self, num_waiters):
        """Wait until so many triggers have been told of the present."""

        def listed():
            state = self.state()
            return state.get("num_waiters") == num_waiters and state["num_lists"] > 0

        await self.until(listed, f"{num_waiters} wait")

    def kill(self):
        """Supervisor and runner at once, as by a machine that dies."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def triggerer(connection, tmp_path):
    """Starts triggerers; ends them after the test."""
    made = []

    def started(stored):
        made.append(Triggerer(tmp_path / f"triggerer-{len(made)}", stored))
        return made[-1]

    yield started
    for each in made:
        if each._process.poll() is None:
            each.kill()


@pytest.fixture
def waiters(unpaced, team):
    """Makes jobs, and what Airflow stores of the triggers of the tasks that wait for them."""

    async def made(count):
        bodies = [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.FINETUNEJOB,
                "metadata": {"name": f"job-{number}", "namespace": team},
                "spec": SPEC,
            }
            for number in range(count)
        ]
        there = await of_each(unpaced.create, bodies)
        return [stored(number, body) for number, body in enumerate(there)]

    return made


def stored(number, body):
    path, arguments = triggers.ResourceTrigger(
        kind=body["kind"],
        namespace=body["metadata"]["namespace"],
        name=body["metadata"]["name"],
        uid=body["metadata"]["uid"],
        generation=body["metadata"]["generation"],
        fairlead_conn_id="fairlead_default",
        task={"dag_id": "weekly", "task_id": "train", "run_id": f"run-{number}", "map_index": -1},
    ).serialize()
    return {"id": number, "classpath": path, "kwargs": arguments}


@pytest.fixture
def complete(unpaced, team):
    """Writes that jobs are complete."""

    async def completed(numbers):
        bodies = [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.FINETUNEJOB,
                "metadata": {"name": f"job-{number}", "namespace": team},
                "status": {"conditions": [COMPLETE]},
            }
            for number in numbers
        ]
        await of_each(partial(unpaced.apply, subresource="status"), bodies)

    return completed


def requests(cluster, team, verb, stage):
    """Requests of others than this tier's client to the jobs of a namespace, by the server."""
    return sum(
        event["objectRef"]["resource"] == names.FINETUNEJOB_PLURAL
        and (event["verb"], event["stage"]) == (verb, stage)
        and names.MANAGER_OPERATOR not in json.dumps(event)
        for event in cluster.audited(f'"namespace":"{team}"')
    )


async def test_triggers_of_a_killed_triggerer_all_fire_once_in_another(
    cluster, team, triggerer, waiters, complete
):
    of_tasks = await waiters(NUM_WAITERS)
    first = triggerer(of_tasks)
    await first.waits(NUM_WAITERS)
    await complete(range(10))
    await first.until(lambda: len(first.events()) == 10, "ten have fired")
    first.kill()
    lists = requests(cluster, team, "list", "ResponseComplete")
    watches = requests(cluster, team, "watch", "ResponseStarted")
    # While nobody waits: its present tells of it.
    await complete(range(10, 20))
    fired = {event["id"] for event in first.events()}
    second = triggerer([line for line in of_tasks if line["id"] not in fired])
    await second.until(
        lambda: (
            second.state().get("num_waiters") == NUM_WAITERS - 20
            and requests(cluster, team, "watch", "ResponseStarted") > watches
        ),
        "all that aren't done wait",
    )
    # Counted before the storm: the API server ends a stream that a busy machine reads slowly.
    num_pages = 2  # of one list: 500 jobs a page
    assert requests(cluster, team, "list", "ResponseComplete") - lists == num_pages
    assert requests(cluster, team, "watch", "ResponseStarted") - watches == 1
    await complete(range(20, NUM_WAITERS))
    await second.until(lambda: len(second.events()) >= NUM_WAITERS - 10, "all have fired")
    ends = first.events() + second.events()
    assert sorted(event["id"] for event in ends) == list(range(NUM_WAITERS))
    assert {event["event"]["result"] for event in ends} == {"succeeded"}
    assert requests(cluster, team, "get", "ResponseComplete") == 0


def start_again(opened):
    control_plane.start(opened.parts, opened.supervisor, opened.server)


async def submitted(run_id):
    """What a task that is submitted by a worker waits on."""
    task = operators.FineTuneOperator(task_id="train", manifest={"spec": SPEC})
    ti = SimpleNamespace(dag_id="weekly", task_id="train", run_id=run_id, map_index=-1)

    def deferred():
        with pytest.raises(TaskDeferred) as caught:
            task.execute({"ti": ti})
        return caught.value.trigger

    return await asyncio.to_thread(deferred)


async def test_outage_of_the_api_server_delays_the_tasks_and_fails_none(
    opened, team, triggerer, waiters, complete
):
    of_tasks = await waiters(100)
    waiting = triggerer(of_tasks)
    await waiting.waits(100)
    opened.supervisor.stop("kube-apiserver")
    # A task that begins in the outage: its worker asks until there is an answer.
    submitting = asyncio.create_task(submitted("run-in-the-outage"))
    await waiting.until(lambda: "trying again" in waiting.log.read_text(), "the outage is seen")
    stopped = time.monotonic()
    await waiting.until(lambda: time.monotonic() > stopped + OUTAGE_SECONDS, "it lasts")
    assert not submitting.done()
    assert waiting.events() == []
    await asyncio.to_thread(start_again, opened)
    trigger = await submitting
    found = await asyncio.to_thread(hooks.FairleadHook().read, trigger.of)
    assert found["metadata"]["uid"] == trigger.uid
    await complete(range(100))
    await waiting.until(lambda: len(waiting.events()) >= 100, "all have fired")
    assert sorted(event["id"] for event in waiting.events()) == list(range(100))
    assert {event["event"]["result"] for event in waiting.events()} == {"succeeded"}
