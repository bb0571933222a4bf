"""What the operator tells about itself is true and named once."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from fairlead_api import metrics
from fairlead_operator import kube, store, telemetry
from fairlead_operator.telemetry import STALL_SECONDS, Telemetry


@pytest.fixture
async def tally(world):
    tally = Telemetry()
    tally.watch(world.store, world.queue, lambda: True)
    return tally


def test_passes_and_requests_are_counted_by_their_labels():
    tally = Telemetry()
    tally.reconciled(kube.FINETUNEJOB, "done", 0.2)
    tally.requested("patch", "finetunejobs", 200, 0.01)
    tally.reported(403)
    tally.wrote_progress("written")
    labels = {"kind": "FineTuneJob"}
    assert tally.value(f"{metrics.RECONCILES}_total", outcome="done", **labels) == 1
    assert tally.value(f"{metrics.RECONCILE_SECONDS}_sum", **labels) == pytest.approx(0.2)
    request = {"verb": "patch", "resource": "finetunejobs"}
    assert tally.value(f"{metrics.API_REQUESTS}_total", code="200", **request) == 1
    assert tally.value(f"{metrics.API_SECONDS}_count", **request) == 1
    assert tally.value(f"{metrics.PROGRESS_REPORTS}_total", code="403") == 1
    assert tally.value(f"{metrics.PROGRESS_WRITES}_total", outcome="written") == 1


async def test_jobs_are_counted_by_phase(world, tally, job):
    for name, phase in (("a", "Training"), ("b", "Training"), ("c", None)):
        key = await world.make(job | {"metadata": {"name": name, "namespace": "team"}})
        if phase:
            world.cluster.edit(await world.live(key), status={"phase": phase})
    assert tally.value(metrics.JOBS, phase="Training") == 2
    assert tally.value(metrics.JOBS, phase="New") == 1


async def test_a_scrape_reads_no_object(world, tally, job, monkeypatch):
    await world.make(job)

    def decoded(*_):
        pytest.fail("a scrape decoded an object")

    monkeypatch.setattr(store.Store, "_decoded", decoded)
    assert tally.value(metrics.JOBS, phase="New") == 1


async def test_the_queue_and_the_lead_are_told(world, tally, job):
    await world.make(job)
    assert tally.value(metrics.QUEUE_DEPTH) == 1
    assert tally.value(metrics.QUEUE_AGE_SECONDS) >= 0
    assert tally.value(metrics.LEADER) == 1


async def test_every_metric_in_the_table_is_on_the_page(world, tally, job):
    await world.make(job)
    async with TestClient(TestServer(telemetry.metrics_app(tally))) as client:
        answer = await client.get("/metrics")
        page = await answer.text()
    table = {key: v for key, v in vars(metrics).items() if not key.startswith(("_", "LABEL_"))}
    names = {v for v in table.values() if str(v).startswith("fairlead_")}
    assert {name for name in names if f"# HELP {name}" not in page} == set()
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_a_standby_counts_no_job_that_the_leader_counts(world, job):
    standby = Telemetry()
    standby.watch(world.store, world.queue, lambda: False)
    await world.make(job)
    assert f"{metrics.JOBS}{{" not in standby.exposition().decode()


async def test_a_standbys_queue_waits_for_nobody(world, job, pass_time):
    leads = False
    tally = Telemetry()
    tally.watch(world.store, world.queue, lambda: leads)
    await world.make(job)
    await pass_time(7200)
    gauges = (metrics.QUEUE_DEPTH, metrics.QUEUE_AGE_SECONDS, metrics.LEADER)
    assert [tally.value(name) for name in gauges] == [0, 0, 0]
    leads = True
    assert [tally.value(name) for name in gauges] == [1, 0, 1], "elected, but no worker came yet"


@pytest.fixture
async def probes(world):
    async with TestClient(TestServer(telemetry.probes_app(world.queue))) as client:
        yield client


async def healthy(probes):
    answer = await probes.get("/healthz")
    return answer.status == 200


async def test_a_replica_is_healthy_while_it_waits_and_when_it_takes_over(
    world, job, probes, pass_time
):
    for name in ("a", "b"):
        await world.make(job | {"metadata": {"name": name, "namespace": "team"}})
    await pass_time(7200)
    assert await healthy(probes), "a standby works on nothing"
    await world.queue.get()
    assert await healthy(probes), "the first pass has only begun"
    assert world.queue.oldest_seconds() < STALL_SECONDS


async def test_health_ends_when_no_pass_ends_and_comes_back_with_one(world, job, probes, pass_time):
    for name in ("a", "b"):
        await world.make(job | {"metadata": {"name": name, "namespace": "team"}})
    key = await world.queue.get()
    await pass_time(STALL_SECONDS / 2)
    assert await healthy(probes)
    await pass_time(STALL_SECONDS / 2)
    answer = await probes.get("/healthz")
    assert answer.status == 503
    assert "1 keys wait and no pass has ended for 300 s" in await answer.text()
    world.queue.done(key)
    assert await healthy(probes)
