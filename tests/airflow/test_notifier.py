"""What is told of a task's end, and that no end depends on it; a stand-in is the webhook."""

import asyncio
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.log import mask_secret

from fairlead_airflow import hooks, notification
from fairlead_airflow.notifier import FairleadNotifier

TI = SimpleNamespace(
    dag_id="weekly", task_id="train", run_id="run-1", map_index=-1, try_number=2, state="success",
    log_url="http://airflow/dags/weekly",
)  # fmt: skip
TARGET = hooks.Target("FineTuneJob", "team", "units")


def context(**more):
    return {"ti": TI, "task": SimpleNamespace(target=TARGET)} | more


def test_failed_task_is_told_with_its_reason():
    told = notification.payload(context(exception=ValueError("units failed: DatasetError: line 2")))
    assert told.pop("text") == (
        "weekly/train: failed in run run-1 (FineTuneJob units): units failed: DatasetError: line 2"
        "\nhttp://airflow/dags/weekly"
    )
    assert told == {
        "dag_id": "weekly",
        "task_id": "train",
        "run_id": "run-1",
        "try_number": 2,
        "state": "failed",
        "resource": {"kind": "FineTuneJob", "namespace": "team", "name": "units"},
        "reason": "units failed: DatasetError: line 2",
        "log_url": "http://airflow/dags/weekly",
    }


def test_task_that_succeeded_is_told_without_a_reason():
    told = notification.payload(context())
    assert (told["state"], "reason" in told) == ("success", False)


def test_run_is_told_without_a_task():
    run = {
        "dag": SimpleNamespace(dag_id="weekly"),
        "dag_run": SimpleNamespace(run_id="run-1", state="failed"),
        "reason": "task_failure",
    }
    assert notification.payload(run) == {
        "text": "weekly: failed in run run-1: task_failure",
        "dag_id": "weekly",
        "run_id": "run-1",
        "state": "failed",
        "reason": "task_failure",
    }


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"ti": SimpleNamespace(map_index=3)}, "map_index", 3),
        ({"exception": "x" * 5000}, "reason", "x" * 2000 + "…"),
        ({"task": SimpleNamespace(target=None)}, "resource", None),
        ({"task": SimpleNamespace(target="host")}, "resource", None),
        ({}, "text", "Airflow: told"),
    ],
    ids=["mapped", "long", "no resource yet", "other target", "nothing known"],
)
def test_field_is_told_as_far_as_it_is_known(given, name, value):
    assert notification.payload(given).get(name) == value


class StandInWebhook(BaseHTTPRequestHandler):
    """Keeps what it is sent; answers as told."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), json.loads(body)))
        self.server.may_answer.wait(60)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"no_service")

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def webhook(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandInWebhook)
    server.received, server.status = [], 200
    server.may_answer = threading.Event()
    server.may_answer.set()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    described = {
        "conn_type": "http",
        "host": "127.0.0.1",
        "port": server.server_port,
        "password": "t0ken-of-it",
        "extra": {"path": "services/s3cret-part"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_WEBHOOK", json.dumps(described))
    yield server
    server.may_answer.set()
    server.shutdown()
    server.server_close()
    thread.join(60)


@pytest.fixture
def notifier():
    def made(**options):
        return FairleadNotifier(**options)

    return made


@pytest.fixture
def in_dag():
    """A task's context, as a template needs it."""
    with DAG("weekly", schedule=None) as dag:
        task = BaseOperator(task_id="train")
    return context(dag=dag, task=task, params={"conn": "fairlead_webhook"})


def test_webhook_is_posted_one_object(webhook, notifier, in_dag):
    notifier()(in_dag | {"exception": ValueError("DatasetError")})
    ((path, headers, body),) = webhook.received
    assert path == "/services/s3cret-part"
    assert headers["Authorization"] == "Bearer t0ken-of-it"
    assert headers["Content-Type"] == "application/json"
    assert (body["dag_id"], body["reason"]) == ("weekly", "DatasetError")
    assert body["text"].startswith("weekly/train: failed")


def test_text_and_connection_are_templated(webhook, notifier, in_dag):
    given = {"webhook_conn_id": "{{ params.conn }}", "text": "look at {{ ti.run_id }}"}
    notifier(**given)(in_dag)
    assert webhook.received[0][2]["text"] == "look at run-1"


async def test_triggerer_tells_too(webhook):
    told = FairleadNotifier(context=context(dag=DAG("weekly", schedule=None)))
    await told
    assert webhook.received[0][2]["task_id"] == "train"


def test_secret_that_airflow_knows_is_not_told(webhook, notifier, in_dag):
    mask_secret("hunter2-hunter2")
    notifier()(in_dag | {"exception": ValueError("login me:hunter2-hunter2 refused")})
    assert "hunter2" not in json.dumps(webhook.received[0][2])


@pytest.mark.parametrize("status", [302, 404, 500])
def test_webhook_that_refuses_is_told_in_the_log(webhook, notifier, in_dag, capsys, status):
    webhook.status = status
    notifier()(in_dag)
    said = capsys.readouterr().out
    assert (
        f"nobody was told by connection fairlead_webhook: it answers {status}: no_service" in said
    )
    assert "s3cret-part" not in said
    assert "t0ken-of-it" not in said


def test_webhook_that_hangs_is_left_after_a_time(webhook, notifier, in_dag, capsys):
    webhook.may_answer.clear()
    began = time.monotonic()
    notifier(timeout_seconds=0.2)(in_dag)
    assert time.monotonic() - began < 30
    assert "nobody was told by connection fairlead_webhook: TimeoutError" in capsys.readouterr().out


def test_webhook_that_is_not_there_is_told_in_the_log(
    webhook, notifier, in_dag, capsys, monkeypatch
):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        described = {"conn_type": "http", "host": address, "extra": {"path": "s3cret-part"}}
        monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_WEBHOOK", json.dumps(described))
        notifier()(in_dag)
    said = capsys.readouterr().out
    assert "nobody was told by connection fairlead_webhook: Cannot connect" in said
    assert "s3cret-part" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"webhook_conn_id": "absent"}, "`absent` isn't defined"),
        ({"text": "{{ nothing.there }}"}, "nothing"),
        ({"text": "{% if %}"}, "Expected an expression"),
    ],
    ids=["connection", "variable", "syntax"],
)
def test_whatever_is_wrong_fails_no_task(webhook, notifier, in_dag, capsys, options, words):
    notifier(**options)(in_dag)
    said = capsys.readouterr().out
    assert "nobody was told by connection" in said
    assert words in said
    assert webhook.received == []


@pytest.mark.parametrize("conn_id", [None, "", "None"], ids=repr)
def test_without_a_connection_nobody_is_told(webhook, notifier, in_dag, capsys, conn_id):
    notifier(webhook_conn_id=conn_id)(in_dag)
    assert "no connection is named: nobody is told" in capsys.readouterr().out
    assert webhook.received == []


def test_triggerer_is_not_failed_either(capsys):
    told = FairleadNotifier(webhook_conn_id="absent", context=context())

    async def tell():
        await told

    asyncio.run(tell())
    assert "nobody was told by connection absent" in capsys.readouterr().out
