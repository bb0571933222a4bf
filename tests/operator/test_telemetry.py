"""What the operator tells about itself is true and named once."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from fairlead_api import metrics
from fairlead_operator import kube, telemetry
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
    names = {v for v in vars(metrics).values() if str(v).startswith("fairlead_") and "." not in v}
    assert {name for name in names if f"# HELP {name}" not in page} == set()
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("leads", "age", "status"),
    [
        pytest.param(True, 0.0, 200, id="working"),
        pytest.param(True, STALL_SECONDS + 1, 503, id="no-work-is-done"),
        pytest.param(False, STALL_SECONDS + 1, 200, id="waits-for-the-lead"),
    ],
)
async def test_health_means_that_work_is_done(world, monkeypatch, leads, age, status):
    monkeypatch.setattr(world.queue, "stalled_seconds", lambda: age)
    app = telemetry.probes_app(world.queue, lambda: leads)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/healthz")
        assert answer.status == status
        assert ("no pass has ended for 301 s" in await answer.text()) is (status == 503)
