"""The server as a pod runs it: real vLLM, a real model, real signals.

Runs in the server's own environment (requirements/server.txt) only, tests/e2e brings it into the
image; one server for all tests, in their order: the last one ends it.
"""

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from fairlead_api import names
from fairlead_api.servefile import ServeFile
from fairlead_server import drain

pytestmark = [
    pytest.mark.vllm,
    # torch's and vLLM's own deprecations are not ours to mend
    pytest.mark.filterwarnings("ignore"),
]
pytest.importorskip("vllm", reason="vLLM is missing: the e2e tier runs this in the image")

START = """
import sys
from pathlib import Path
from fairlead_server.__main__ import main
sys.exit(main([], claims=Path(sys.argv[1])))
"""
BOUND_SECONDS = 900  # on two busy cores
URL = f"http://127.0.0.1:{names.PORT_SERVE}"
MAX_TOKENS = 2000
MAX_QUEUED = 4
READY_SECONDS, LIVE_SECONDS = 15.0, 40.0
SOONER = f"""
from fairlead_server import progress
progress.READY_SECONDS, progress.LIVE_SECONDS = {READY_SECONDS}, {LIVE_SECONDS}
"""
"""Python runs it at its start: real bounds are minutes, and it is their order that is shown."""


def serve_file():
    return ServeFile(
        model_uri="pvc://models/tiny",
        served_model_name="tiny",
        aliases=("my-service",),
        engine_args={
            "gpu-memory-utilization": "0.1",
            "max-model-len": "4096",
            "enforce-eager": "",
        },
        limits={"max_tokens": MAX_TOKENS, "max_queued_requests": MAX_QUEUED},
        drain_seconds=BOUND_SECONDS,
    )


@pytest.fixture(scope="module")
def server(claims, tmp_path_factory):
    """The running server's process, once its startup probe says so."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(SOONER)
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        names.ENV_SERVE_FILE: serve_file().model_dump_json(by_alias=True),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "HOME": str(tmp_path_factory.mktemp("home")),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(claims)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            lambda: probe(names.PATH_STARTUP) == 200 or process.poll() is not None, BOUND_SECONDS
        )
        assert process.poll() is None, log.read_text()[-4000:]
        yield SimpleNamespace(process=process, log=log)
    finally:
        for pid in [*descendants(process.pid), process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        threading.Event().wait(0.25)


def probe(path):
    """Status of a path, None where nothing answers; cheap, for it is asked often."""
    connection = http.client.HTTPConnection("127.0.0.1", names.PORT_SERVE, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def descendants(pid):
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def chat(**changes):
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
        "ignore_eos": True,
    }
    return httpx.post(URL + "/v1/chat/completions", json=body | changes, timeout=600)


def completion(**changes):
    body = {"model": "tiny", "prompt": "hello", "max_tokens": 5, "ignore_eos": True}
    return httpx.post(URL + "/v1/completions", json=body | changes, timeout=600)


@pytest.mark.parametrize(
    ("ask", "changes"),
    [
        (chat, {}),
        (completion, {}),
        (chat, {"model": "my-service"}),
        (completion, {"model": "my-service"}),
        (chat, {"model": None}),
    ],
    ids=["chat", "completion", "chat by alias", "completion by alias", "chat without a name"],
)
def test_it_answers(server, ask, changes):
    reply = ask(**changes)
    assert reply.status_code == 200, reply.text
    assert reply.json()["usage"]["completion_tokens"] == 5
    assert reply.json()["model"] == "tiny"


def test_a_connection_between_two_requests_is_not_closed_from_here(server):
    """A gateway that sends on a connection just being closed has nobody to answer it."""
    connection = http.client.HTTPConnection("127.0.0.1", names.PORT_SERVE, timeout=60)
    connection.request("GET", "/v1/models")
    connection.getresponse().read()
    closed, _, _ = select.select([connection.sock], [], [], vllm_closes_after() + 2)
    assert closed == []
    connection.request("GET", "/v1/models")
    assert connection.getresponse().status == 200
    connection.close()


def vllm_closes_after():
    """Seconds, where nothing else is said."""
    from vllm import envs

    return envs.VLLM_HTTP_TIMEOUT_KEEP_ALIVE


def test_a_model_that_is_not_served_is_404(server):
    assert chat(model="other").status_code == 404


def test_a_stream_comes_token_by_token(server):
    tokens, usage = stream_tokens(num_tokens=50)
    assert usage == 50
    assert tokens >= 10  # several tokens may share a chunk, the whole answer does not


def stream_tokens(num_tokens, started=None):
    """Stream a completion; number of chunks with text and the tokens that vLLM counted."""
    chunks, usage = 0, None
    body = {
        "model": "tiny", "prompt": "hello", "max_tokens": num_tokens, "ignore_eos": True,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    done = False
    with httpx.stream("POST", URL + "/v1/completions", json=body, timeout=600) as reply:
        assert reply.status_code == 200
        for line in reply.iter_lines():
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                usage = event["usage"]["completion_tokens"] if event.get("usage") else usage
                chunks += bool(event["choices"])
                if started is not None:
                    started.set()
    assert done, "the stream was cut"
    return chunks, usage


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_too_many_tokens_are_400_in_the_clients_own_terms(server, field):
    changes = {"max_tokens": None, field: MAX_TOKENS + 1}
    reply = chat(**changes)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize("ask", [chat, completion])
def test_an_answer_without_a_maximum_ends_at_the_limit(server, ask):
    reply = ask(max_tokens=None)
    assert reply.json()["usage"]["completion_tokens"] == MAX_TOKENS


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_route_of_vllm_is_open(server, method):
    known = re.findall(r"Route: (/\S*), Methods", server.log.read_text())
    assert len(known) > 10
    open_routes = {
        path
        for path in {*known, "/docs", "/openapi.json", "/v1/load_lora_adapter", "/sleep"}
        if httpx.request(method, URL + path, timeout=30).status_code != 404
    }
    listed = {"/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics"}
    assert open_routes <= listed


def test_more_requests_than_the_limit_are_429(server):
    statuses = []

    def ask():
        statuses.append(completion(max_tokens=400).status_code)

    threads = [threading.Thread(target=ask) for _ in range(MAX_QUEUED * 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(200) >= MAX_QUEUED
    assert set(statuses) == {200, 429}


def test_a_drain_is_not_to_be_had_from_outside(server):
    address = subprocess.run(
        ["hostname", "-I"], capture_output=True, text=True, check=True
    ).stdout.split()
    if not address:
        pytest.skip("this machine has no address but the loopback's")
    reply = httpx.post(f"http://{address[0]}:{names.PORT_SERVE}{drain.PATH_DRAIN}", timeout=30)
    assert reply.status_code == 404
    assert probe(names.PATH_READY) == 200


def engine_processes(server):
    """vLLM's processes behind the API server."""
    return descendants(server.process.pid)


def test_a_hung_engine_is_found_though_health_stays_200(server):
    stopped = engine_processes(server)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):  # a client that gives up leaves no trace in vLLM
            httpx.post(
                URL + "/v1/completions", json={"prompt": "hello", "max_tokens": 5}, timeout=3
            )
        wait_until(lambda: probe(names.PATH_READY) == 503, READY_SECONDS + 10)
        assert time.monotonic() - begun > READY_SECONDS - 1
        assert probe(names.PATH_LIVE) == 200
        assert probe("/health") == 200
        wait_until(lambda: probe(names.PATH_LIVE) == 503, LIVE_SECONDS + 10)
        assert probe("/health") == 200
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: probe(names.PATH_READY) == probe(names.PATH_LIVE) == 200, 60)
    assert completion().status_code == 200


def test_a_drain_and_sigterm_lose_no_token_of_a_running_stream(server):
    answers, started = [], threading.Event()
    streaming = threading.Thread(target=lambda: answers.append(stream_tokens(MAX_TOKENS, started)))
    streaming.start()
    assert started.wait(180)
    hook = subprocess.run(
        [sys.executable, *names.DRAIN_COMMAND[1:]],
        env={**os.environ, names.ENV_SERVE_FILE: serve_file().model_dump_json(by_alias=True)},
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
    )
    assert hook.returncode == 0, hook.stderr
    assert completion().status_code == 503
    server.process.send_signal(signal.SIGTERM)
    streaming.join(timeout=BOUND_SECONDS)
    assert [usage for _, usage in answers] == [MAX_TOKENS]
    assert server.process.wait(timeout=BOUND_SECONDS) == 0
