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
    plain = {"model": model, "resources": SMALL, "engine": {"maxModelLen": 128}}
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
        self.answered, self.failures = 0, []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]

    def once(self, connection=None):
        """Ask one question; status and text."""
        own = connection or self._connect()
        headers = {"Host": self.host, "Content-Type": "application/json"}
        own.request("POST", "/v1/completions", self.body, headers)
        answer = own.getresponse()
        text = answer.read().decode()
        if connection is None:
            own.close()
        return answer.status, text

    def _connect(self):
        return http.client.HTTPConnection(self.address, self.port, timeout=120)

    def _ask(self, number):
        """Every other client keeps its connection, as clients of both habits exist."""
        kept = self._connect() if number % 2 else None
        while not self._stop.is_set():
            try:
                status, text = self.once(kept)
                failure = None if status == 200 else f"{status}: {text}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
            with self._lock:
                self.answered += failure is None
                if failure is not None:
                    self.failures.append((time.strftime("%X"), failure))
            self._stop.wait(0.05)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


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
def served(module_kube, base):
    """Service "amounts" of a job that was not done when the service was made."""
    module_kube.apply(service("amounts", {"fineTuneJobRef": {"name": "teach"}}))
    assert "no FineTuneJob teach" in wait_until_says(
        module_kube, "amounts", "ModelLoaded", "FineTuneJobNotFound"
    )
    module_kube.apply(job("teach", base))
    wait_until_says(module_kube, "amounts", "ModelLoaded", "FineTuneJobNotComplete")
    assert module_kube.list("deployment") == []
    module_kube.wait_for("modelservice", "amounts", "Ready", SERVE_SECONDS)
    return module_kube.get("modelservice", "amounts")


def folder_with_a_pickle(kube, base, installed):
    """Copy the base and lay a pickle file beside it; the folder's uri."""
    code = (
        "import pathlib, pickle, shutil;"
        "shutil.copytree('/storage/base', '/storage/pickled', dirs_exist_ok=True);"
        "pathlib.Path('/storage/pickled/pytorch_model.bin').write_bytes(pickle.dumps({}))"
    )
    pod = kube.get("job", "make-base")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["command"] = ["python", "-c", code]
    kube.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "make-pickled"},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }
    )
    kube.wait_for("job", "make-pickled", "Complete")
    return base.replace("/base", "/pickled")


@pytest.fixture(scope="module")
def pickled(module_kube, base, installed):
    return folder_with_a_pickle(module_kube, base, installed)


def test_model_folder_with_a_pickle_file_is_refused_where_kubectl_looks(module_kube, pickled):
    module_kube.apply(service("pickled", {"uri": pickled}))
    message = wait_until_says(module_kube, "pickled", "Ready", "ArtifactRefused", 300)
    assert "pytorch_model.bin" in message
    table = module_kube.run("get", "modelservice", "pickled", "-o", "wide")
    assert "ArtifactRefused" in table
    module_kube.run("delete", "modelservice", "pickled")


def test_failed_job_is_named_by_the_service(module_kube, base):
    module_kube.apply(
        job("broken", base, datasets=[{"name": "amounts", "inline": "{no json"}]),
        service("of-broken", {"fineTuneJobRef": {"name": "broken"}}),
    )
    message = wait_until_says(module_kube, "of-broken", "ModelLoaded", "FineTuneJobFailed", 300)
    assert "amounts" in message
    module_kube.run("delete", "modelservice", "of-broken")


def test_service_answers_through_the_gateway(served, gateway_address):
    asking = Asking(gateway_address, served["status"]["url"], "amounts")
    status, text = asking.once()
    assert status == 200, text
    assert json.loads(text)["choices"]


def test_deleted_job_changes_nothing(served, module_kube):
    before = module_kube.get("modelservice", "amounts")["status"]
    module_kube.run("delete", "finetunejob", "teach")
    module_kube.run("annotate", "modelservice", "amounts", "seen=again")
    assert says(module_kube, "amounts", "Ready").status == "True"
    assert module_kube.get("modelservice", "amounts")["status"]["model"] == before["model"]


def test_rollout_loses_no_request(served, module_kube, gateway_address, pickled):
    first = module_kube.get("modelservice", "amounts")["status"]["stable"]
    with Asking(gateway_address, served["status"]["url"], "amounts") as asking:
        # One that can't serve: stable goes on, and says so.
        broken = service("amounts", {"uri": pickled})
        module_kube.apply(broken)
        wait_until_says(module_kube, "amounts", "Progressing", "ArtifactRefused", 300)
        assert says(module_kube, "amounts", "Available").status == "True"
        # One that can.
        better = service("amounts", {"fineTuneJobRef": {"name": "teach"}})
        better["spec"]["engine"]["maxModelLen"] = 64
        module_kube.apply(better)
        module_kube.wait(
            "modelservice",
            "amounts",
            lambda found: found["status"]["stable"] != first,
            SERVE_SECONDS,
            "switch",
        )
        deadline = time.monotonic() + 180
        while module_kube.list("pod", f"fairlead.dev/revision={first}"):
            assert time.monotonic() < deadline, "the first revision's pods never went"
            time.sleep(1)
        time_of_switch = asking.answered
        while asking.answered < time_of_switch + 20 and not asking.failures:
            time.sleep(0.2)
    assert asking.failures == []
    assert asking.answered > 100
    stable = module_kube.get("modelservice", "amounts")["status"]["stable"]
    assert [d["metadata"]["name"] for d in module_kube.list("deployment")] == [f"amounts-{stable}"]


def test_scale_subresource_scales_the_pods(served, module_kube):
    module_kube.run("scale", "modelservice", "amounts", "--replicas=0")
    module_kube.wait_for("modelservice", "amounts", "Ready", 120, status="False")
    assert says(module_kube, "amounts", "Ready").reason == "ScaledToZero"
    module_kube.wait("modelservice", "amounts", lambda m: m["status"].get("replicas", 0) == 0, 120)
    assert module_kube.get("httproute", "amounts")
