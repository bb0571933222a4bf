"""The preStop hook against a real listener: patient within its time, never beyond."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fairlead_api.servefile import ServeFile
from fairlead_server import drain

SERVE = ServeFile(model_uri="pvc://models/tiny", served_model_name="tiny", drain_seconds=60)


class Time:
    """A clock that only pauses move."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def listen():
    """A function that serves scripted answers, the last one again and again; gives its port."""
    servers = []

    def start(*answers):
        pending, asked = list(answers), []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.path)
                status, body = pending.pop(0) if len(pending) > 1 else pending[0]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port, asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def says(in_flight, done):
    return 200, json.dumps({"inFlight": in_flight, "done": done}).encode()


def run(time, port):
    return drain.run(SERVE, port, clock=time.clock, pause=time.pause)


def test_it_waits_until_nothing_runs(listen, time):
    port, asked = listen(says(2, False), says(1, False), says(0, True))
    assert run(time, port) == 0
    assert asked == [drain.PATH_DRAIN] * 3
    assert time.now < 1


def test_it_gives_up_after_its_time_and_says_how_many_ran(listen, time, caplog):
    port, _ = listen(says(3, False))
    assert run(time, port) == 1
    assert time.now == pytest.approx(SERVE.drain_seconds, abs=1)
    assert "3 requests still ran after 60 s" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [(404, b"{}"), (200, b"not json"), (200, b"{}"), (200, b"[]"), (200, b'{"inFlight": "x"}')],
    ids=["refused", "no JSON", "no fields", "a list", "no number"],
)
def test_an_answer_that_makes_no_sense_is_said_and_asked_for_again(listen, time, caplog, answer):
    port, _ = listen(answer, says(0, True))
    assert run(time, port) == 0
    assert "cannot ask the server" in caplog.text


def test_a_server_that_does_not_listen_yet_has_nothing_to_drain(time):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert run(time, bound.getsockname()[1]) == 0
    assert time.now == 0


def test_a_server_that_goes_meanwhile_has_drained(time, monkeypatch):
    answers = iter([drain.Drained(in_flight=1, done=False)])

    def ask(port):
        for answer in answers:
            return answer
        raise ConnectionRefusedError

    monkeypatch.setattr(drain, "ask", ask)
    assert run(time, 1) == 0


def test_what_the_middleware_says_is_what_the_hook_reads():
    drained = drain.Drained(in_flight=4, done=False)
    assert drain.Drained.read(json.dumps(drained.as_object()).encode()) == drained
