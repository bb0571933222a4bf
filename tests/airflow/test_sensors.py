"""Sensors of numbers and files, deferred or not; a stand-in answers for Prometheus."""

import asyncio
import importlib
import json
import threading
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from airflow.sdk.bases.operator import TriggerFailureReason
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.serialization.encoders import encode_trigger

from fairlead_airflow import hooks, sensors, sensortriggers
from fairlead_api import names

PATIENCE_SECONDS = 60
_spec = spec_from_file_location("stand_in", Path(__file__).with_name("stand_in_prometheus.py"))
stand_in = module_from_spec(_spec)
_spec.loader.exec_module(stand_in)


@pytest.fixture
def server(monkeypatch):
    """The stand-in, in a thread of its own: sensors run a loop of theirs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = stand_in.StandInPrometheus()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(PATIENCE_SECONDS)
    described = {"conn_type": "http", "host": "127.0.0.1", "port": server.port, "password": "t0k"}
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_PROMETHEUS", json.dumps(described))
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(PATIENCE_SECONDS)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE_SECONDS)
    loop.close()


def idle(**changes):
    options = {"below": 10, "poke_interval": 0.01, "timeout": 30} | changes
    return sensors.GPUUtilizationSensor(task_id="idle", **options)


def deferred(sensor):
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({})
    return caught.value


def again(trigger):
    """The trigger as a triggerer makes it from what is stored."""
    path, arguments = trigger.serialize()
    encode_trigger({"classpath": path, "kwargs": arguments})
    module, name = path.rsplit(".", 1)
    made = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert made.serialize() == (path, arguments)
    return made


def fire(trigger):
    async def run():
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(run())
    return event


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_number_that_is_reached_at_once_needs_no_wait(server, deferrable):
    server.answers = [stand_in.vector(3)]
    result = idle(deferrable=deferrable).execute({})
    assert result == {"value": 3, "query": "avg(DCGM_FI_DEV_GPU_UTIL{})"}
    assert server.headers["Authorization"] == "Bearer t0k"


WAITS = [stand_in.vector(80), stand_in.vector(), (503, "starting"), stand_in.vector(3)]


def test_sensor_pokes_through_what_mends_itself(server):
    server.answers = list(WAITS)
    assert idle(deferrable=False).execute({})["value"] == 3
    assert len(server.queries) == 4


def test_trigger_looks_through_what_mends_itself(server):
    server.answers = list(WAITS)
    sensor = idle()
    deferral = deferred(sensor)
    event = fire(again(deferral.trigger))
    assert event["result"] == "succeeded"
    assert sensor.execute_complete({}, event) == {
        "value": 3,
        "query": "avg(DCGM_FI_DEV_GPU_UTIL{})",
    }
    assert len(server.queries) == 4


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_number_must_hold(server, deferrable):
    server.answers = [stand_in.vector(3), stand_in.vector(80), stand_in.vector(4)]
    sensor = idle(hold=timedelta(seconds=0.3), deferrable=deferrable)
    result = fire(again(deferred(sensor).trigger)) if deferrable else sensor.execute({})
    assert result["value"] == 4
    assert len(server.queries) >= 4


BAD = (400, {"status": "error", "error": "parse error"})


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_query_that_is_refused_fails_for_good_with_its_words(server, deferrable):
    server.answers = [BAD]
    message = r"idle failed: QueryRefused: Prometheus, avg\(: 400: parse error"
    with pytest.raises(AirflowFailException, match=message):
        idle(query="avg(", deferrable=deferrable).execute({})


def test_query_that_is_refused_later_fails_for_good_too(server):
    server.answers = [stand_in.vector(80), BAD]
    sensor = idle()
    event = fire(again(deferred(sensor).trigger))
    with pytest.raises(AirflowFailException, match="QueryRefused.*parse error"):
        sensor.execute_complete({}, event)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_soft_fail_skips_in_place_of_failing(server, deferrable):
    server.answers = [BAD]
    with pytest.raises(AirflowSkipException):
        idle(soft_fail=True, deferrable=deferrable).execute({})


def test_soft_fail_skips_after_the_trigger_too(server):
    event = {"result": "failed", "reason": "QueryRefused", "message": "x"}
    with pytest.raises(AirflowSkipException):
        idle(soft_fail=True).resume_execution("execute_complete", {"event": event}, {})


@pytest.mark.parametrize(
    ("soft_fail", "failure"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)]
)
def test_timeout_ends_the_wait(server, soft_fail, failure):
    server.answers = [stand_in.vector(80)]
    with pytest.raises(failure):
        idle(deferrable=False, timeout=0.05, soft_fail=soft_fail).execute({})
    late = deferred(idle(timeout=90, soft_fail=soft_fail))
    assert late.timeout == timedelta(seconds=90)
    with pytest.raises(failure):
        idle(soft_fail=soft_fail).resume_execution(
            "__fail__", {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, {}
        )


def test_missing_connection_is_named_before_the_wait(server):
    with pytest.raises(AirflowNotFoundException, match="`absent`"):
        idle(prometheus_conn_id="absent").execute({})


@pytest.mark.parametrize(
    ("described", "message"),
    [(None, "fairlead_prometheus"), ({"conn_type": "http"}, "host: is empty")],
    ids=["gone", "broken"],
)
def test_connection_that_breaks_while_it_waits_fails_by_name(
    server, monkeypatch, described, message
):
    server.answers = [stand_in.vector(80)]
    trigger = again(deferred(idle()).trigger)
    monkeypatch.delenv("AIRFLOW_CONN_FAIRLEAD_PROMETHEUS")
    if described:
        monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_PROMETHEUS", json.dumps(described))
    event = fire(trigger)
    assert (event["result"], event["reason"]) == ("failed", "InvalidConnection")
    assert message in event["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"below": "ten"}, "^below: must be a number, it is 'ten'"),
        ({"below": None}, "^below or above: one of them must be given"),
        ({"labels": {"a b": "x"}}, "^labels: 'a b' is no label"),
    ],
    ids=["bound", "no bound", "label"],
)
def test_field_that_cannot_be_meant_fails_for_good(server, changes, message):
    with pytest.raises(AirflowFailException, match=message):
        idle(**changes).execute({})


def test_reschedule_that_would_forget_is_refused():
    with pytest.raises(ValueError, match="reschedule forgets the look before"):
        idle(mode="reschedule", deferrable=False)
    assert idle(mode="reschedule").deferrable


def test_query_and_labels_exclude_each_other():
    with pytest.raises(ValueError, match="labels: the query says itself which GPUs"):
        idle(query="x", labels={"a": "b"})


def test_request_bucket_asks_for_its_service_in_its_window(server, monkeypatch):
    server.answers = [stand_in.vector(0.05)]
    sensor = sensors.RequestBucketSensor(
        task_id="quiet", service="units", namespace="team", at_most="0.1", at_least=0,
        window=timedelta(minutes=1),
    )  # fmt: skip
    assert sensor.execute({})["value"] == 0.05
    (query,) = server.queries
    assert 'fairlead_dev_modelservice="units", namespace="team"}[60s])' in query


def test_request_bucket_takes_the_connections_namespace(server, monkeypatch):
    described = {"conn_type": "fairlead", "extra": {"namespace": "ours"}}
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", json.dumps(described))
    sensor = sensors.RequestBucketSensor(task_id="quiet", service="units", at_most=1)
    assert 'namespace="ours"' in sensor.promql()


@pytest.mark.parametrize("window", [timedelta(0), timedelta(seconds=1.5)], ids=str)
def test_window_of_no_whole_seconds_is_refused(window):
    with pytest.raises(ValueError, match="window: must be whole seconds"):
        sensors.RequestBucketSensor(task_id="quiet", service="units", at_most=1, window=window)


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("{}")
    return file


def new(rows, **changes):
    options = {"uri": f"{rows.parent}/*.jsonl", "poke_interval": 0.01, "timeout": 30} | changes
    return sensors.NewDatasetSensor(task_id="new", **options)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_new_file_is_handed_on(rows, deferrable):
    sensor = new(rows, deferrable=deferrable)
    if deferrable:
        result = sensor.execute_complete({}, fire(again(deferred(sensor).trigger)))
    else:
        result = sensor.execute({})
    assert (result["uri"], result["size"]) == (str(rows), 2)
    assert set(result) == {"uri", "size", "mtime", "etag", "identity"}


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "poke"])
def test_file_that_an_earlier_run_took_is_not_new_again(rows, deferrable):
    seen = fire(deferred(new(rows)).trigger)["identity"]
    sensor = new(rows, seen=seen, deferrable=deferrable, timeout=0.05)
    if deferrable:
        looked = asyncio.run(again(deferred(sensor).trigger).look())
        assert looked.line == "no new file, 1 in all"
    else:
        with pytest.raises(AirflowSensorTimeout):
            sensor.execute({})


def test_file_older_than_since_is_not_new(rows):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    trigger = again(deferred(new(rows, since=tomorrow)).trigger)
    looks = [asyncio.run(trigger.look()) for _ in range(2)]
    assert [seen.line for seen in looks] == ["no new file, 1 in all"] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"uri": "rows.jsonl"}, "^uri: must be an address or the whole path"),
        ({"since": "soon"}, "^since: must be a moment"),
        ({"seen": 7}, "^seen: must be the identity"),
    ],
    ids=["uri", "since", "seen"],
)
def test_field_of_a_dataset_that_cannot_be_meant_fails_for_good(rows, changes, message):
    with pytest.raises(AirflowFailException, match=message):
        new(rows, **changes).execute({})


def test_storage_that_is_away_is_waited_for(rows, monkeypatch):
    def away(*_):
        raise ConnectionError("no route to host")

    trigger = deferred(new(rows)).trigger
    monkeypatch.setattr(sensortriggers.storage, "entries", away)
    seen = asyncio.run(trigger.look())
    assert seen.line == "can't be listed now: no route to host"
    sensor = new(rows, deferrable=False, timeout=0.05)
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute({})


def test_condition_that_a_kind_has_not_is_refused_when_the_dag_is_read():
    with pytest.raises(ValueError, match="there is no 'Redy'"):
        sensors.ConditionSensor(
            task_id="health", kind=names.MODELSERVICE, name="units", condition="Redy"
        )


def test_condition_trigger_is_stored_whole():
    trigger = sensortriggers.ConditionTrigger(
        names.MODELSERVICE, "team", "units", "Ready", "True", "fairlead_default"
    )
    assert again(trigger).of == hooks.Target(names.MODELSERVICE, "team", "units")


@pytest.mark.parametrize(
    "sensor",
    [sensors.ConditionSensor, sensors.GPUUtilizationSensor, sensors.RequestBucketSensor,
     sensors.NewDatasetSensor],
    ids=lambda sensor: sensor.__name__,
)  # fmt: skip
def test_templated_fields_are_there(sensor, rows):
    made = {
        "ConditionSensor": {
            "kind": names.MODELSERVICE, "name": "units", "condition": "Ready"
        },
        "GPUUtilizationSensor": {"below": 1},
        "RequestBucketSensor": {"service": "units", "at_most": 1},
        "NewDatasetSensor": {"uri": str(rows)},
    }[sensor.__name__]  # fmt: skip
    task = sensor(task_id="waits", **made)
    assert all(hasattr(task, field) for field in task.template_fields)
