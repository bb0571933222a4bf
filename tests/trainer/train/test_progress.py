"""Progress reports: what they say, and that training waits for none of them."""

import http.server
import json
import logging
import socket
import socketserver
import threading
import time

import pytest

from fairlead_api import names
from fairlead_trainer.train import progress
from fairlead_trainer.train.progress import Endpoint, Messenger, Progress

BOUND_SECONDS = 60


class Operator:
    """An endpoint that keeps what it is told, and answers when and as a test says."""

    def __init__(self):
        self.told, self.headers, self.code = [], [], 200
        self.changed = threading.Condition()
        self.answers = threading.Event()
        self.answers.set()
        operator = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with operator.changed:
                    code = operator.code
                    operator.told.append(body["trainerStatus"])
                    operator.headers.append(dict(self.headers))
                    operator.changed.notify()
                operator.answers.wait(BOUND_SECONDS)
                self.send_response(code)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_args):
                pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/progress"

    def until(self, num_reports):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= num_reports, BOUND_SECONDS)


@pytest.fixture
def operator():
    made = Operator()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.answers.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def silent():
    """The address of a socket that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/progress"


@pytest.fixture
def messenger(tmp_path):
    """A function that makes a messenger to an address, with a pod's token."""
    token, made = tmp_path / "token", []
    token.write_text("secret\n")

    def make(url, **how):
        made.append(Messenger(Endpoint(url, str(token), None), **how))
        return made[-1]

    yield make
    for each in made:
        each.close({}, BOUND_SECONDS)  # the endpoint is gone by now; no thread outlives its test


def test_a_step_does_not_wait_for_an_endpoint_that_never_answers(messenger, silent):
    teller = messenger(silent, interval_seconds=0)
    begun = time.monotonic()
    for step in range(100):
        teller.tell({"progressPercentage": step})
    assert time.monotonic() - begun < progress.POST_SECONDS  # of which each report would take one


def test_the_end_waits_for_the_last_report_within_its_bound(messenger, silent, caplog):
    teller = messenger(silent)
    teller.tell({})
    begun = time.monotonic()
    teller.close({}, seconds=0.2)
    assert 0.2 <= time.monotonic() - begun < progress.POST_SECONDS
    assert "still under way after 0.2 s" in caplog.text


def test_the_newest_report_replaces_those_that_wait(messenger, operator):
    teller = messenger(operator.url, interval_seconds=0)
    operator.answers.clear()
    teller.tell({"progressPercentage": 0})
    operator.until(1)
    for percent in range(1, 50):
        teller.tell({"progressPercentage": percent})
    operator.answers.set()
    operator.until(2)
    teller.close({"progressPercentage": 100}, BOUND_SECONDS)
    assert [report["progressPercentage"] for report in operator.told] == [0, 49, 100]


def test_reports_keep_their_distance_but_for_the_last(messenger, operator):
    teller = messenger(operator.url, interval_seconds=BOUND_SECONDS)
    teller.tell({"progressPercentage": 0})
    operator.until(1)
    teller.tell({"progressPercentage": 1})
    begun = time.monotonic()
    teller.close({"progressPercentage": 100}, BOUND_SECONDS)
    assert time.monotonic() - begun < BOUND_SECONDS
    assert [report["progressPercentage"] for report in operator.told] == [0, 100]


def test_a_report_says_who_sends_it(messenger, operator):
    messenger(operator.url).close({}, BOUND_SECONDS)
    assert operator.headers[0]["Authorization"] == "Bearer secret"
    assert operator.headers[0]["Content-Type"] == "application/json"


def warnings(caplog):
    return [record for record in caplog.records if record.levelno == logging.WARNING]


def test_an_endpoint_that_refuses_is_told_once_until_it_takes_reports_again(
    messenger, operator, caplog
):
    teller = messenger(operator.url, interval_seconds=0)

    def tell(code):
        operator.code, num_told = code, len(operator.told)
        teller.tell({})
        operator.until(num_told + 1)

    for code in (503, 503, 403):
        tell(code)
    tell(200)  # once this one has come, those before it were answered
    (warned,) = warnings(caplog)
    assert operator.url in warned.getMessage()
    assert "503" in warned.getMessage()
    tell(503)
    operator.code = 200
    teller.close({}, BOUND_SECONDS)
    assert len(warnings(caplog)) == 2


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        pytest.param({"url": "http://127.0.0.1:1/"}, "Connection refused", id="nobody-listens"),
        pytest.param({"token_file": "/nowhere/token"}, "/nowhere/token", id="no-token"),
        pytest.param({"ca_file": "/nowhere/ca.crt"}, "No such file", id="no-ca"),
        pytest.param({"url": "no address"}, "unknown url type", id="no-address"),
    ],
)
def test_what_keeps_reports_from_arriving_is_named(endpoint, told, tmp_path, caplog):
    (tmp_path / "token").write_text("secret")
    usual = {"url": "https://127.0.0.1:1/", "token_file": str(tmp_path / "token"), "ca_file": None}
    Messenger(Endpoint(**usual | endpoint)).close({}, BOUND_SECONDS)
    (warned,) = warnings(caplog)
    assert told in warned.getMessage()


def test_the_endpoint_is_the_one_that_the_operator_names():
    environment = {
        names.ENV_PROGRESS_URL: "https://operator:8443/progress/ns/job",
        names.ENV_PROGRESS_CA: "/ca.crt",
        names.ENV_PROGRESS_TOKEN: "/token",
    }
    endpoint = Endpoint.of(environment)
    assert endpoint == Endpoint("https://operator:8443/progress/ns/job", "/token", "/ca.crt")


@pytest.mark.parametrize(
    ("first", "step", "seconds", "expected"),
    [
        pytest.param(0, 0, 9, None, id="no-step-yet"),
        pytest.param(0, 25, 50, 150, id="from-the-start"),
        pytest.param(80, 80, 9, None, id="resumed-without-a-step"),
        pytest.param(80, 90, 50, 50, id="resumed"),
        pytest.param(0, 100, 50, 0, id="done"),
    ],
)
def test_the_time_that_remains_is_measured_by_this_attempts_steps(
    clock, first, step, seconds, expected
):
    run = Progress(clock)
    clock.now += 1000  # loading is no part of it
    run.begin(first)
    clock.now += seconds
    assert run.report(step, 100, None).get("estimatedRemainingSeconds") == expected


@pytest.mark.parametrize(
    ("step", "ended", "percent"),
    [
        pytest.param(0, False, 0, id="begins"),
        pytest.param(199, False, 99, id="rounds-down"),
        pytest.param(200, False, 99, id="not-done-before-the-end"),
        pytest.param(200, True, 100, id="done"),
        pytest.param(50, True, 25, id="told-to-end"),
    ],
)
def test_only_the_end_of_all_steps_is_100_percent(step, ended, percent):
    assert Progress().report(step, 200, None, ended=ended)["progressPercentage"] == percent


def test_a_report_carries_the_newest_numbers():
    run = Progress()
    run.note({"loss": 3.0, "learning_rate": 0.1})
    run.note({"loss": 2.5, "note": "text"})
    metrics = {it["name"]: it["value"] for it in run.report(3, 9, 0.3333)["metrics"]}
    assert metrics == {
        "loss": "2.5",
        "learning_rate": "0.1",
        "current_step": "3",
        "total_steps": "9",
        "current_epoch": "0.33",
    }
