"""Real vLLM behind a real gateway: served from a job, rolled without loss, refused with words.

Asked all the time through the gateway, while revisions come, fail and go.
"""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.e2e

SERVE_SECONDS = 900  # vLLM on a busy machine of two cores
ROWS = "\n".join(
    json.dumps({"prompt": f"{number} grams", "completion": f" {number} g"}) for number in range(50)
)
MAX_TOKENS = 100
SERVED_NAME = "grams-of-tomorrow"
SMALL = {"requests": {"cpu": "100m", "memory": "1Gi"}}


def job(name, base, **spec):
    """A FineTuneJob of two steps."""
    plain = {
        "model": {"uri": base},
        "datasets": [{"name": "amounts", "inline": ROWS}],
        "trainer": {"type": "SFT"},
        "prepare": {"maxLength": 64},
        "hyperparameters": {"maxSteps": 2},
        "storage": {"claimName": "storage"},
        # Without a request of its own it starves beside a busy server on two cores.
        "resourcesPerNode": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "maxRestarts": 0,
    }
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": plain | spec,
    }


def service(name, model, **spec):
    """A ModelService of one small replica."""
    # Eager: compiling takes minutes on two cores and shows nothing here.
    engine = {"maxModelLen": 128, "extraArgs": {"enforce-eager": ""}}
    plain = {
        "model": model,
        "resources": SMALL,
        "engine": engine,
        "servedModelName": SERVED_NAME,
        "limits": {"maxTokens": MAX_TOKENS},
    }
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name},
        "spec": plain | spec,
    }


class Asking:
    """Clients that ask a service through its gateway until told to stop."""

    def __init__(self, address, url, model, clients=2):
        parts = urlsplit(url)
        self.address, self.port, self.host = address, parts.port or 80, parts.hostname
        self.body = json.dumps({"model": model, "prompt": "7 grams", "max_tokens": 4})
        self.long = json.dumps(
            {"model": model, "prompt": "7 grams", "max_tokens": MAX_TOKENS, "ignore_eos": True}
            | {"stream": True, "stream_options": {"include_usage": True}}
        )
        self.answered, self.streamed, self.failures = 0, 0, []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]
        self._threads.append(threading.Thread(target=self._stream))

    def once(self, connection=None, body=None, method="POST", path="/v1/completions"):
        """Ask one question; status and text."""
        own = connection or self._connect()
        headers = {"Host": self.host, "Content-Type": "application/json"}
        own.request(method, path, body or self.body, headers)
        answer = own.getresponse()
        text = answer.read().decode()
        if connection is None:
            own.close()
        return answer.status, text

    def _connect(self):
        return http.client.HTTPConnection(self.address, self.port, timeout=120)

    def _stream(self):
        """One client reads long answers as they come, and counts their tokens."""
        while not self._stop.is_set():
            try:
                status, text = self.once(body=self.long)
                failure = f"{status}: {text}" if status != 200 else cut_short(text)
            except (OSError, http.client.HTTPException) as error:
                failure = f"stream: {error!r}"
            self._note(failure, streamed=failure is None)

    def _note(self, failure, *, streamed=False):
        with self._lock:
            self.answered += failure is None
            self.streamed += streamed
            if failure is not None:
                self.failures.append((time.strftime("%X"), failure))
        self._stop.wait(0.2)  # two cores also train meanwhile

    def _ask(self, number):
        """Every other client keeps its connection, as clients of both habits exist."""
        kept = self._connect() if number % 2 else None
        while not self._stop.is_set():
            try:
                status, text = self.once(kept)
                failure = None if status == 200 else f"{status}: {text}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
            self._note(failure)
        if kept is not None:
            kept.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def cut_short(text):
    """What is wrong with a streamed answer; None where it is whole."""
    events = [line.removeprefix("data: ") for line in text.splitlines() if line]
    if events[-1:] != ["[DONE]"]:
        return f"stream without an end: {text[-300:]}"
    tokens = json.loads(events[-2])["usage"]["completion_tokens"]
    return None if tokens == MAX_TOKENS else f"stream of {tokens} tokens"


@pytest.fixture(scope="module")
def gateway_address(installed):
    """Where the chart's Gateway listens."""
    gateway = installed.kube(installed.release.namespace).wait(
        "gateway", installed.release.name, lambda g: g.get("status", {}).get("addresses"), 120
    )
    return gateway["status"]["addresses"][0]["value"]


def says(kube, name, type_):
    """A condition as it stands, or None."""
    return kube.condition(kube.get("modelservice", name), type_)


def wait_until_says(kube, name, type_, reason, timeout=120):
    """Wait until a condition has a reason, and return its message."""

    def there(manifest):
        found = kube.condition(manifest, type_)
        return found is not None and found.reason == reason

    kube.wait("modelservice", name, there, timeout, f"{type_} for reason {reason}")
    return says(kube, name, type_).message


@pytest.fixture(scope="module")
def teach(shared_kube, base):
    """A FineTuneJob on its way, seen unfinished by a service; its name."""
    shared_kube.apply(service("of-teach", {"fineTuneJobRef": {"name": "teach"}}))
    message = wait_until_says(shared_kube, "of-teach", "ModelLoaded", "FineTuneJobNotFound")
    assert "no FineTuneJob teach" in message
    shared_kube.apply(job("teach", base))
    wait_until_says(shared_kube, "of-teach", "ModelLoaded", "FineTuneJobNotComplete")
    assert shared_kube.list("deployment", "fairlead.dev/modelservice=of-teach") == []
    shared_kube.run("delete", "modelservice", "of-teach")
    return "teach"


@pytest.fixture(scope="module")
def served(shared_kube, base):
    """Service "amounts" of the base, answering."""
    shared_kube.apply(service("amounts", {"uri": base}))
    shared_kube.wait_for("modelservice", "amounts", "Ready", SERVE_SECONDS)
    return shared_kube.get("modelservice", "amounts")


@pytest.fixture(scope="module")
def pickled(shared_kube, base):
    """A copy of the base with a pickle file beside it; its uri."""
    code = (
        "import pathlib, pickle, shutil;"
        "shutil.copytree('/storage/base', '/storage/pickled', dirs_exist_ok=True);"
        "pathlib.Path('/storage/pickled/pytorch_model.bin').write_bytes(pickle.dumps({}))"
    )
    pod = shared_kube.get("job", "make-base")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["command"] = ["python", "-c", code]
    shared_kube.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "make-pickled"},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }
    )
    shared_kube.wait_for("job", "make-pickled", "Complete")
    return base.replace("/base", "/pickled")


def test_model_folder_with_a_pickle_file_is_refused_where_kubectl_looks(shared_kube, pickled):
    shared_kube.apply(service("pickled", {"uri": pickled}))
    message = wait_until_says(shared_kube, "pickled", "Ready", "ArtifactRefused", 300)
    assert "pytorch_model.bin" in message
    table = shared_kube.run("get", "modelservice", "pickled", "-o", "wide")
    assert "ArtifactRefused" in table
    shared_kube.run("delete", "modelservice", "pickled")


def test_failed_job_is_named_by_the_service(shared_kube, base):
    shared_kube.apply(
        job("broken", base, datasets=[{"name": "amounts", "inline": "{no json"}]),
        service("of-broken", {"fineTuneJobRef": {"name": "broken"}}),
    )
    message = wait_until_says(shared_kube, "of-broken", "ModelLoaded", "FineTuneJobFailed", 300)
    assert "amounts" in message
    shared_kube.run("delete", "modelservice", "of-broken")


def test_engine_on_cpus_is_one_process(served, shared_kube):
    deployment = f"deployment/amounts-{served['status']['stable']}"
    running = shared_kube.run("exec", deployment, "--", "sh", "-c", "cat /proc/[0-9]*/comm")
    assert [name for name in running.split() if name.startswith("VLLM::")] == ["VLLM::EngineCor"]


def test_service_answers_through_the_gateway(served, gateway_address):
    asking = Asking(gateway_address, served["status"]["url"], "amounts")
    status, text = asking.once()
    assert status == 200, text
    assert json.loads(text)["choices"]


@pytest.mark.parametrize("name", ["amounts", SERVED_NAME])
def test_service_answers_to_its_own_and_to_its_served_name(served, gateway_address, name):
    asking = Asking(gateway_address, served["status"]["url"], name)
    status, text = asking.once()
    assert status == 200, text
    assert json.loads(text)["model"] == SERVED_NAME


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "words"),
    [
        pytest.param(
            "POST", "/v1/completions", {"max_tokens": 101}, 400, "spec.limits.maxTokens",
            id="more-tokens-than-the-limit",
        ),
        pytest.param(
            "POST", "/v1/completions", {"max_tokens": 51, "n": 2}, 400, "for 2 answers",
            id="more-tokens-in-all-answers",
        ),
        pytest.param("POST", "/v1/load_lora_adapter", {}, 404, "no such path", id="not-listed"),
        pytest.param("DELETE", "/v1/models", {}, 405, "GET only", id="another-method"),
        pytest.param("POST", "/fairlead/drain", {}, 404, "", id="drain-from-outside"),
        pytest.param("GET", "/v1/models", {}, 200, SERVED_NAME, id="models"),
    ],
)  # fmt: skip
def test_gate_stands_behind_the_gateway(served, gateway_address, method, path, more, status, words):
    asking = Asking(gateway_address, served["status"]["url"], "amounts")
    body = json.dumps({"model": "amounts", "prompt": "7 grams"} | more)
    answered, text = asking.once(method=method, path=path, body=body)
    assert (answered, words in text) == (status, True), text


def test_rollout_to_a_jobs_model_loses_no_request(
    served, shared_kube, gateway_address, pickled, teach
):
    first = shared_kube.get("modelservice", "amounts")["status"]["stable"]
    with Asking(gateway_address, served["status"]["url"], "amounts") as asking:
        # A model that can't be served: stable goes on, and says so.
        shared_kube.apply(service("amounts", {"uri": pickled}))
        wait_until_says(shared_kube, "amounts", "Progressing", "ArtifactRefused", 300)
        shared_kube.wait_for("modelservice", "amounts", "Available")
        # One that can, as soon as its job is done.
        shared_kube.apply(service("amounts", {"fineTuneJobRef": {"name": teach}}))
        shared_kube.wait(
            "modelservice",
            "amounts",
            lambda found: found["status"]["stable"] != first,
            SERVE_SECONDS,
            "switch",
        )
        wait_until_gone(shared_kube, f"fairlead.dev/revision={first}")
        enough = max(100, asking.answered + 20)
        while (asking.answered < enough or asking.streamed <= 10) and not asking.failures:
            time.sleep(0.2)
    assert asking.failures == []
    stable = shared_kube.get("modelservice", "amounts")["status"]["stable"]
    left = shared_kube.list("deployment", "fairlead.dev/modelservice=amounts")
    assert [each["metadata"]["name"] for each in left] == [f"amounts-{stable}"]


def wait_until_gone(kube, selector, timeout=180):
    """Wait until no pod of the selector is left, drained ones included."""
    deadline = time.monotonic() + timeout
    while kube.list("pod", selector):
        assert time.monotonic() < deadline, f"pods of {selector} never went"
        time.sleep(1)


def test_deleted_job_changes_nothing(served, shared_kube, teach):
    before = shared_kube.get("modelservice", "amounts")["status"]
    assert before["model"]["fineTuneJob"] == teach
    shared_kube.run("delete", "finetunejob", teach)
    shared_kube.apply(service("amounts", {"fineTuneJobRef": {"name": teach}}, gatewayRefs=[]))
    wait_until_says(shared_kube, "amounts", "RouteReady", "NoGateway")
    after = shared_kube.get("modelservice", "amounts")["status"]
    assert (after["stable"], after["model"]) == (before["stable"], before["model"])
    shared_kube.wait_for("modelservice", "amounts", "Ready")
    assert shared_kube.find("httproute", "amounts") is None


def test_scale_subresource_scales_the_pods(served, shared_kube):
    shared_kube.run("scale", "modelservice", "amounts", "--replicas=0")
    wait_until_says(shared_kube, "amounts", "Ready", "ScaledToZero", 600)
    assert says(shared_kube, "amounts", "Ready").status == "False"
    shared_kube.wait("modelservice", "amounts", lambda m: m["status"].get("replicas", 0) == 0)
