"""Asking served models, against a real HTTP server."""

import http.server
import itertools
import json
import threading

import pytest

from fairlead_cluster import errors
from fairlead_cluster.demo import exam


@pytest.fixture
def gateway():
    """Answers a question with its length; ``codes`` are given out one a request."""

    class Answer(http.server.BaseHTTPRequestHandler):
        codes = itertools.repeat(200)
        seen = []

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.seen.append((self.path, self.headers["Host"], body))
            code = next(self.codes)
            question = body["messages"][0]["content"]
            content = {"choices": [{"message": {"content": f" {len(question)} "}}]}
            reply = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Answer.url = f"http://127.0.0.1:{server.server_port}"
    yield Answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(exam, "_PAUSE_SECONDS", 0)


@pytest.fixture
def examinee(gateway):
    return exam.Examinee("units", "http://units.demo.fairlead.local", gateway.url)


def test_answers_come_in_the_order_of_the_questions(gateway, examinee):
    questions = ["q" * n for n in range(1, 41)]
    assert exam.ask_all(examinee, questions, 8) == [str(n) for n in range(1, 41)]
    path, host, body = gateway.seen[0]
    assert (path, host) == ("/v1/chat/completions", "units.demo.fairlead.local")
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("units", 8, 0)


def test_environments_proxy_is_passed_by(monkeypatch, examinee):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert examinee.answer("abc", 1) == "3"


@pytest.mark.parametrize("code", [404, 500, 503])
def test_route_that_is_not_there_yet_is_waited_for(gateway, examinee, code):
    gateway.codes = itertools.chain([code, code], itertools.repeat(200))
    exam.wait_until_answering(examinee, "q")
    assert len(gateway.seen) >= 3


def test_refusal_that_waiting_does_not_mend_is_told_at_once(gateway, examinee):
    gateway.codes = itertools.repeat(400)
    with pytest.raises(errors.ClusterError, match="units.demo.fairlead.local does not answer"):
        exam.wait_until_answering(examinee, "q")


def test_gateway_that_never_routes_is_told_after_a_while(gateway, examinee, monkeypatch):
    monkeypatch.setattr(exam, "_PATIENCE_SECONDS", 0)
    gateway.codes = itertools.repeat(503)
    with pytest.raises(errors.ClusterError, match="503"):
        exam.wait_until_answering(examinee, "q")


def test_question_without_an_answer_ends_the_exam(gateway, examinee):
    gateway.codes = itertools.chain([200, 200, 500], itertools.repeat(200))
    with pytest.raises(errors.ClusterError, match="units gave no answer"):
        exam.ask_all(examinee, ["q"] * 9, 1)
