"""``fairlead ask`` against a real HTTP server."""

import http.server
import json
import threading

import pytest

from fairlead_api.modelservice import ModelService
from fairlead_cli import ask, errors


@pytest.fixture
def server():
    """Answers as vLLM does; ``seen`` is what it was asked."""
    seen = []

    class Answer(http.server.BaseHTTPRequestHandler):
        code, refusal = 200, '{"error": "busy"}'

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers["Host"], body))
            choice = {"text": " 5 g", "message": {"content": "5 g"}}
            reply = json.dumps({"choices": [choice]}) if self.code == 200 else self.refusal
            self.send_response(self.code)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply.encode())

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", seen, Answer
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize(
    ("chat", "path", "content", "answer"),
    [
        (False, "/v1/completions", {"prompt": "q"}, " 5 g"),
        (True, "/v1/chat/completions", {"messages": [{"role": "user", "content": "q"}]}, "5 g"),
    ],
    ids=["completion", "chat"],
)
def test_question_reaches_the_model_by_the_services_host(server, chat, path, content, answer):
    url, seen, _ = server
    where = ask.Endpoint(url=url, host="units.demo.local", model="units")
    assert ask.ask(where, "q", chat=chat, max_tokens=7) == answer
    ((asked_path, host, body),) = seen
    assert (asked_path, host) == (path, "units.demo.local")
    assert body == {"model": "units", "max_tokens": 7, "temperature": 0, **content}


@pytest.mark.parametrize(
    ("code", "refusal", "said"),
    [(429, '{"error": "busy"}', '429: {"error": "busy"}'), (503, "", "503: Service Unavailable")],
    ids=["with-words", "of-a-gateway-without-pods"],
)
def test_refusal_is_told_with_what_the_server_said(server, code, refusal, said):
    url, _, handler = server
    handler.code, handler.refusal = code, refusal
    where = ask.Endpoint(url=url, host="h", model="m")
    with pytest.raises(errors.CliError, match=f"answers {said}"):
        ask.ask(where, "q", chat=False, max_tokens=1)


def test_service_that_does_not_answer_says_the_way_out():
    where = ask.Endpoint(url="http://127.0.0.1:1", host="h", model="m")
    with pytest.raises(errors.CliError, match="--gateway"):
        ask.ask(where, "q", chat=False, max_tokens=1)


@pytest.mark.parametrize(
    ("spec", "gateway", "expected"),
    [
        (None, None, ask.Endpoint("http://u.local", "u.local", "units")),
        ({"servedModelName": "n"}, None, ask.Endpoint("http://u.local", "u.local", "n")),
        (None, "http://10.0.0.1", ask.Endpoint("http://10.0.0.1", "u.local", "units")),
    ],
    ids=["its own url", "served name", "by a gateway's address"],
)
def test_endpoint_follows_status_and_spec(service, spec, gateway, expected):
    found = ModelService.read(service(spec=spec, url="http://u.local"))
    assert ask.endpoint(found, gateway) == expected


def test_service_without_an_address_is_said_so(service):
    with pytest.raises(errors.WrongUsage, match="fairlead wait modelservice/units"):
        ask.endpoint(ModelService.read(service()), None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://localhost:80", True), ("http://units.demo.invalid", False), (None, False)],
    ids=["known", "unknown", "no url yet"],
)
def test_host_is_resolved_by_this_machine(service, url, expected):
    status = {"url": url} if url else {}
    assert ask.is_resolved(ModelService.read(service(**status))) is expected
