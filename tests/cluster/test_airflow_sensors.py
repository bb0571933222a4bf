"""Sensors against real parts: conditions of a real API server, numbers of a real Prometheus.

The test writes the status, as the operator would; a stand-in for a served model's metrics is
scraped.
"""

import asyncio
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from fairlead_airflow import hooks, promql, sensors, sensortriggers, triggers
from fairlead_airflow import prometheus as client
from fairlead_airflow.httpconnection import HttpConnection
from fairlead_api import names
from fairlead_cluster import programs, settings

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
MOMENT = "2026-01-01T00:00:00Z"


@pytest.fixture
def connection(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


@pytest.fixture
def make(kubectl, team):
    """Makes the ModelService units."""

    def made():
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.MODELSERVICE,
            "metadata": {"name": "units", "namespace": team},
            "spec": {"model": {"uri": "pvc://work/base"}},
        }
        kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    return made


@pytest.fixture
def tell(kubectl, team):
    """Writes its one condition."""

    def told(status, reason="ReplicasReady", message=""):
        condition = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": MOMENT,
        }
        patch = {"status": {"conditions": [condition], "observedGeneration": 1}}
        of = f"{names.MODELSERVICE_PLURAL}.{names.GROUP}"
        place = ("-n", team, "--subresource=status", "--type=merge")
        kubectl("patch", of, "units", *place, "-p", json.dumps(patch))

    return told


def health(**changes):
    options = {"kind": names.MODELSERVICE, "name": "units", "condition": "Ready"} | changes
    return sensors.ConditionSensor(task_id="health", poke_interval=0.2, timeout=120, **options)


def deferred(sensor):
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({})
    return caught.value.trigger


def again(trigger):
    path, arguments = trigger.serialize()
    assert path == "fairlead_airflow.sensortriggers.ConditionTrigger"
    return sensortriggers.ConditionTrigger(**arguments)


async def fire(trigger):
    async with asyncio.timeout(PATIENCE_SECONDS):
        (event,) = [event async for event in trigger.run()]
    return event.payload


async def test_condition_of_a_resource_that_is_made_later_ends_the_wait(
    connection, team, make, tell
):
    sensor = health()
    firing = asyncio.create_task(fire(again(deferred(sensor))))
    await asyncio.to_thread(make)
    await asyncio.to_thread(tell, "False", "NoReplicasReady")
    await asyncio.to_thread(tell, "True")
    event = await firing
    assert event["message"] == "Ready is True (ReplicasReady)"
    assert sensor.execute_complete({}, event) == {
        "kind": names.MODELSERVICE,
        "namespace": team,
        "name": "units",
        "condition": "Ready",
        "status": "True",
    }


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_condition_that_is_there_needs_no_wait(connection, team, make, tell, deferrable):
    make()
    tell("False", "NoReplicasReady")
    found = health(status="False", deferrable=deferrable).execute({})
    assert (found["namespace"], found["status"]) == (team, "False")


def test_sensor_that_pokes_waits_in_the_worker(connection, make, tell):
    results = []
    waits = threading.Thread(target=lambda: results.append(health(deferrable=False).execute({})))
    waits.start()
    make()
    tell("True")
    waits.join(PATIENCE_SECONDS)
    assert results[0]["name"] == "units"


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_resource_that_failed_fails_the_sensor_at_once(connection, make, tell, deferrable):
    make()
    tell("False", "FineTuneJobFailed", "job units failed")
    with pytest.raises(AirflowFailException, match="FineTuneJobFailed: job units failed"):
        health(deferrable=deferrable).execute({})


async def test_resource_that_fails_later_fails_the_sensor(connection, team, make, tell):
    make()
    sensor = health()
    firing = asyncio.create_task(fire(again(deferred(sensor))))
    await asyncio.to_thread(tell, "False", "FineTuneJobFailed", "job units failed")
    event = await firing
    later = health()
    with pytest.raises(AirflowFailException, match="FineTuneJobFailed: job units failed"):
        later.execute_complete({}, event)
    assert later.target == hooks.Target(names.MODELSERVICE, team, "units")


def test_sensor_out_of_time_says_so(connection, make):
    make()
    with pytest.raises(AirflowSensorTimeout):
        sensors.ConditionSensor(
            task_id="health", kind=names.MODELSERVICE, name="units", condition="Ready",
            deferrable=False, poke_interval=0.1, timeout=0.3,
        ).execute({})  # fmt: skip


async def test_sensors_share_the_watch_and_a_kill_ends_nothing(connection, team, make, tell):
    make()
    waiting = [again(deferred(health())) for _ in range(10)]
    firing = [asyncio.create_task(fire(each)) for each in waiting]
    await asyncio.sleep(0)
    shared = triggers.shared("fairlead_default", names.MODELSERVICE, team)
    assert shared.num_waiters == 10
    await waiting[0].on_kill()
    of = hooks.Target(names.MODELSERVICE, team, "units")
    assert await asyncio.to_thread(hooks.FairleadHook().read, of) is not None
    await asyncio.to_thread(tell, "True")
    events = await asyncio.gather(*firing)
    assert {event["result"] for event in events} == {"succeeded"}
    assert shared.num_lists == 1


class StandInMetrics(BaseHTTPRequestHandler):
    """What a served model and a GPU would tell."""

    num_requests = 100
    num_pods = 1

    def do_GET(self):
        lines = ['DCGM_FI_DEV_GPU_UTIL{gpu="0"} 4', 'DCGM_FI_DEV_GPU_UTIL{gpu="1"} 8']
        for pod in range(StandInMetrics.num_pods):
            labels = f'namespace="team",fairlead_dev_modelservice="units",pod="{pod}"'
            lines.append(f"vllm:request_success_total{{{labels}}} {StandInMetrics.num_requests}")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\n".join([*lines, ""]).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A real Prometheus that scrapes the stand-in each second; its connection."""
    cache = programs.open_cache(settings.load().cache_dir)
    program = cache.path("prometheus")
    if not program.exists():
        pytest.skip("Prometheus isn't built: fairlead-cluster build --with prometheus")
    target = ThreadingHTTPServer(("127.0.0.1", 0), StandInMetrics)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("prometheus")
    scraped = {
        "job_name": "stand-in",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{target.server_port}"]}],
    }
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scraped]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    log = folder / "log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [str(program), f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"],
            stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield HttpConnection("fairlead_prometheus", _address(process, log))
    finally:
        process.terminate()
        process.wait(60)
        target.shutdown()
        target.server_close()


def _address(process, log):
    """Where it listens, by its log; and that it is ready."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        for line in log.read_text().splitlines():
            if "Listening on" in line and "address=" in line:
                return f"http://{line.split('address=')[1].split()[0]}"
        threading.Event().wait(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def asked(prometheus, monkeypatch):
    """The connection as an administrator may set it; its server is ready."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_FAIRLEAD_PROMETHEUS",
        json.dumps({"conn_type": "http", "host": prometheus.url}),
    )
    return prometheus


def fast(**changes):
    return {"task_id": "waits", "poke_interval": 0.3, "timeout": 120} | changes


def test_gpus_that_idle_end_the_wait(asked):
    sensor = sensors.GPUUtilizationSensor(below=10, deferrable=False, **fast())
    assert sensor.execute({})["value"] == 6


async def test_deferred_sensor_reads_the_real_answer(asked):
    sensor = sensors.GPUUtilizationSensor(below=5, query='DCGM_FI_DEV_GPU_UTIL{gpu="0"}', **fast())
    assert (await fire(sensor.trigger()))["value"] == 4


async def value(connection, query):
    """The number; None while there is none."""
    try:
        return await client.value(connection, query)
    except (client.NoData, client.Away):
        return None


async def first_value(connection, query):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await value(connection, query)) is None:
        assert time.monotonic() < deadline, query
        await asyncio.sleep(0.2)
    return found


async def test_rate_is_told_once_the_pod_is_as_old_as_the_window(asked):
    of = promql.selector({"namespace": "team", "fairlead_dev_modelservice": "units"})
    series = f"vllm:request_success_total{of}"
    young = f"count({series} unless {series} offset 5s)"
    query = promql.request_rate("units", "team", 5)
    await first_value(asked, f"count({series})")
    while await value(asked, young) is not None:
        rate = await value(asked, query)
        if await value(asked, young) is not None:
            assert rate is None
        await asyncio.sleep(0.2)
    assert await first_value(asked, query) == 0
    StandInMetrics.num_requests += 50
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await value(asked, query):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_new_pod_makes_the_rate_unknown_for_a_window(asked, monkeypatch):
    query = promql.request_rate("units", "team", 8)
    await first_value(asked, query)
    monkeypatch.setattr(StandInMetrics, "num_pods", 2)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while await value(asked, query) is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    await first_value(asked, query)


async def test_rate_of_a_service_without_pods_is_not_known(asked):
    assert await value(asked, promql.request_rate("others", "team", 5)) is None


def test_quiet_service_ends_the_wait(asked):
    sensor = sensors.RequestBucketSensor(
        service="units", namespace="team", at_most=1000, deferrable=False, **fast()
    )
    sensor.window = sensor.window / 60  # of five seconds
    assert 0 <= sensor.execute({})["value"] < 1000


@pytest.mark.parametrize(
    ("query", "failure", "message"),
    [
        ("avg(", client.QueryRefused, "400: .*parse error"),
        ("DCGM_FI_DEV_GPU_UTIL", client.NotOneNumber, "gives 2 series"),
        ("DCGM_FI_DEV_GPU_UTIL[1m]", client.NotOneNumber, "gives a matrix, not one number"),
        ("absent_metric", client.NoData, "no data"),
    ],
    ids=["bad", "many", "range", "none"],
)
async def test_real_failures_are_told_apart(asked, query, failure, message):
    await first_value(asked, "count(DCGM_FI_DEV_GPU_UTIL) == 2")
    with pytest.raises(failure, match=message):
        await client.value(asked, query)


async def test_one_number_without_series_is_a_scalar(asked):
    assert await first_value(asked, "1 + 1") == 2
