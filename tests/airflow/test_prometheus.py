"""One number from Prometheus's HTTP API; a stand-in answers."""

import importlib.util
import math
import re
import socket
from pathlib import Path

import pytest

from fairlead_airflow import prometheus, promql
from fairlead_airflow.fields import InvalidField
from fairlead_airflow.httpconnection import HttpConnection, InvalidConnection
from fairlead_api import metrics, names

_spec = importlib.util.spec_from_file_location(
    "stand_in_prometheus", Path(__file__).with_name("stand_in_prometheus.py")
)
stand_in = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stand_in)

BAD = {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected end"}


def scalar(number, kind="scalar"):
    return 200, {"status": "success", "data": {"resultType": kind, "result": [0, number]}}


@pytest.fixture
async def server():
    server = stand_in.StandInPrometheus()
    await server.start()
    yield server
    await server.stop()


def connection(server, **more):
    return HttpConnection("monitoring", f"http://127.0.0.1:{server.port}", **more)


@pytest.mark.parametrize(
    ("answer", "number"),
    [(stand_in.vector("42.5"), 42.5), (scalar("7"), 7), (stand_in.vector("+Inf"), math.inf)],
    ids=["vector", "scalar", "infinite"],
)
async def test_one_number_is_read(server, answer, number):
    server.answers = [answer]
    assert await prometheus.value(connection(server), "avg(x)") == number
    assert server.queries == ["avg(x)"]


async def test_login_reaches_the_server(server):
    server.answers = [stand_in.vector(1)]
    await prometheus.value(connection(server, authorization="Bearer t0ken"), "x")
    assert server.headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("answer", "failure", "message"),
    [
        (stand_in.vector(), prometheus.NoData, "no data"),
        (stand_in.vector(1, 2), prometheus.NotOneNumber, "gives 2 series: aggregate them"),
        (scalar("text", "string"), prometheus.NotOneNumber, "gives a string, not one number"),
        ((400, BAD), prometheus.QueryRefused, "400: parse error: unexpected end"),
        ((401, "log in"), prometheus.QueryRefused, "401: log in"),
        ((302, "log in"), prometheus.QueryRefused, "302: log in"),
        ((200, "<html>"), prometheus.QueryRefused, "200: <html>"),
        (
            (200, {"status": "success"}),
            prometheus.QueryRefused,
            "the answer isn't one of Prometheus",
        ),
        ((503, "starting"), prometheus.Away, "503: starting"),
        ((429, ""), prometheus.Away, r"429: \(nothing\)"),
    ],
    ids=["none", "many", "text", "bad", "login", "moved", "page", "empty", "starting", "busy"],
)
async def test_failure_is_named_with_its_query(server, answer, failure, message):
    server.answers = [answer]
    with pytest.raises(failure, match=rf"^Prometheus, sum\(x\): {message}") as caught:
        await prometheus.value(connection(server), "sum(x)")
    assert type(caught.value) is failure


async def test_server_that_is_not_there_is_away(nobody):
    absent = HttpConnection("monitoring", f"http://{nobody}")
    with pytest.raises(prometheus.Away, match="doesn't answer"):
        await prometheus.value(absent, "x")


async def test_server_that_says_nothing_is_away():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        there = HttpConnection("monitoring", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(prometheus.Away, match=r"no answer within 0\.2 s"):
            await prometheus.value(there, "x", timeout_seconds=0.2)


async def test_certificates_that_cannot_be_read_are_named(server):
    with pytest.raises(InvalidConnection, match="ca: /nowhere can't be read"):
        await prometheus.value(connection(server, ca="/nowhere"), "x")


def test_labels_are_quoted():
    query = promql.gpu_utilization({"pod": 'a"b\\c', "namespace": "team"})
    assert query == r'avg(DCGM_FI_DEV_GPU_UTIL{namespace="team", pod="a\"b\\c"})'


def test_label_that_cannot_be_one_is_named():
    with pytest.raises(InvalidField, match="labels: 'a b' is no label"):
        promql.gpu_utilization({"a b": "x"})


def test_rate_is_of_the_services_pods_and_not_while_one_is_young():
    of = 'vllm:request_success_total{fairlead_dev_modelservice="units", namespace="team"}'
    assert promql.request_rate("units", "team", 300) == (
        f"sum(rate({of}[300s])) unless on() count({of} unless {of} offset 300s)"
    )


def test_label_of_a_service_is_as_prometheus_writes_it():
    assert re.sub(r"[^a-zA-Z0-9_]", "_", names.LABEL_MODELSERVICE) == metrics.LABEL_MODELSERVICE
