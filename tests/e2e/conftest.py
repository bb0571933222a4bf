"""A whole cluster with Fairlead installed: real kubelet, real images, the chart as users get it."""

import dataclasses
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import yaml

from fairlead_api import conditions
from fairlead_api.base import Condition
from fairlead_chaos import patient, ports
from fairlead_cluster import access, account, images, orchestration, registry, release, settings, up
from fairlead_cluster import cluster as clusters

Manifest = dict[str, Any]
POLL_SECONDS = 0.5
READ_SECONDS = 60
BUSY_SECONDS = 180
"""How long a server of a busy machine is asked again."""
MAKE_BASE = """
import json, pathlib, sys
import pyarrow, pyarrow.parquet
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
target = pathlib.Path(sys.argv[1])
letters = [chr(code) for code in range(32, 127)]
words = {token: index for index, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *letters])}
plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
plain.decoder = decoders.Fuse()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=plain, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
    chat_template="{% for message in messages %}{{ '? ' if message.role == 'user' else '! ' }}"
    "{{ message.content }}{% endfor %}{% if add_generation_prompt %}! {% endif %}")
config = LlamaConfig(vocab_size=len(words), hidden_size=64, intermediate_size=128,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=32,
    max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LlamaForCausalLM(config).save_pretrained(target)
tokenizer.save_pretrained(target)
rows = [{"prompt": f"{number} litres", "completion": f" {number} l"} for number in range(50)]
data = target.parent / "data"
data.mkdir()
pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), data / "volumes.parquet")
(data / "broken.jsonl").write_text(json.dumps(rows[0]) + "\\n" + '{"prompt": ')
"""


class Unreachable(AssertionError):
    """The API server gave no answer in the time that kubectl allows for a handshake."""


class Kube:
    """kubectl against one namespace of the test cluster."""

    def __init__(self, kubectl: Path, kubeconfig: Path, namespace: str) -> None:
        self.command = [str(kubectl), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self.namespace = namespace

    def run(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120
    ) -> str:
        """Run kubectl and return what it prints; what it complains of is in the error."""
        done = patient.run([*self.command, *arguments], stdin, timeout)
        if check and done.returncode:
            is_cut_off = "Unable to connect to the server" in done.stderr
            kind = Unreachable if is_cut_off else AssertionError
            raise kind(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout + done.stderr

    def read(self, *arguments: str) -> str:
        """As run, for what changes nothing: an API server too busy to answer is asked again."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self.run(*arguments, timeout=READ_SECONDS)
            except (Unreachable, subprocess.TimeoutExpired):
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def apply(self, *manifests: Manifest) -> str:
        """Apply manifests as a user does: client-side, with strict validation."""
        return self.run("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def find(self, kind: str, name: str) -> Manifest | None:
        """The object, or None where there is none."""
        text = self.read("get", kind, name, "--ignore-not-found", "-o", "json")
        found: Manifest | None = json.loads(text) if text.strip() else None
        return found

    def get(self, kind: str, name: str) -> Manifest:
        """The object, which must be there."""
        found = self.find(kind, name)
        assert found is not None, f"{kind}/{name} is not there"
        return found

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        """All objects of a kind that the label selector takes."""
        text = self.read("get", kind, "-l", selector, "-o", "json")
        items: list[Manifest] = json.loads(text)["items"]
        return items

    def wait(
        self,
        kind: str,
        name: str,
        until: Callable[[Manifest], object],
        timeout: float = 600,
        what: str = "condition",
    ) -> Manifest:
        """Wait until the object satisfies ``until``; a timeout shows the object as it stands."""
        deadline = time.monotonic() + timeout
        found: Manifest | None = None
        while time.monotonic() < deadline:
            found = self.find(kind, name)
            if found is not None and until(found):
                return found
            time.sleep(POLL_SECONDS)
        status = yaml.safe_dump((found or {}).get("status", "not there"))
        raise AssertionError(
            f"{kind}/{name}: no {what} after {timeout:.0f} s\n{status}\n{self.clues()}"
        )

    def clues(self) -> str:
        """What the namespace looks like, for a failed test to show."""
        kinds = "finetunejobs,modelservices,jobs,pods"
        objects = self.run("get", kinds, "-o", "wide", check=False)
        events = self.run("get", "events", "--sort-by=.lastTimestamp", check=False)
        return f"{objects}\n{events[-3000:]}"

    def wait_for(
        self, kind: str, name: str, type_: str, timeout: float = 600, status: str = "True"
    ) -> Condition:
        """Wait for a condition of ours, and return it; fails at once when the resource Failed."""

        def there(manifest: Manifest) -> bool:
            failed = self.condition(manifest, "Failed")
            if type_ != "Failed" and failed is not None and failed.status == "True":
                pytest.fail(f"{kind}/{name} failed: {failed.reason}: {failed.message}")
            found = self.condition(manifest, type_)
            return found is not None and found.status == status

        manifest = self.wait(kind, name, there, timeout, f"{type_}={status}")
        found = self.condition(manifest, type_)
        assert found is not None
        return found

    def volume(self, claim: str) -> Path:
        """Where a claim's files lie on this machine."""
        name = self.get("pvc", claim)["spec"]["volumeName"]
        spec = self.get("pv", name)["spec"]
        return Path((spec.get("hostPath") or spec["local"])["path"])

    def condition(self, manifest: Manifest, type_: str) -> Condition | None:
        """A condition of a custom resource's status."""
        listed = manifest.get("status", {}).get("conditions", [])
        return conditions.find([Condition.model_validate(one) for one in listed], type_)


@dataclasses.dataclass(frozen=True)
class Installed:
    """A cluster with the chart in it."""

    cluster: clusters.Cluster
    release: release.Release
    images: dict[str, str]
    """Image name to the reference that nodes pull."""

    def kube(self, namespace: str) -> Kube:
        """kubectl in a namespace."""
        return Kube(self.cluster.cache.path("kubectl"), self.cluster.where.kubeconfig, namespace)

    @property
    def access(self) -> access.Access:
        """The cluster as the cluster tool's verbs reach it."""
        path = self.cluster.cache.path
        return access.Access(path("kubectl"), path("helm"), self.cluster.where.kubeconfig, None)


@pytest.fixture(scope="session")
def installed() -> Installed:
    """Bring up FAIRLEAD_E2E_CLUSTER whole, with this tree's images and chart.

    It stays up afterwards, so that a second run is quick; `fairlead-cluster down` removes it.
    """
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    name = os.environ.get("FAIRLEAD_E2E_CLUSTER", "fairlead-e2e")
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(name))
    opened = up.up(chosen, up.Wanted())
    own = registry.ensure(chosen.state_dir, opened.cache)
    workshop = images.open_workshop(chosen.cache_dir, images.Options())
    references = workshop.push(release.RELEASED, own)
    chart = release.Release(opened.cache.path("helm"), opened.where.kubeconfig)
    chart.install(references)
    return Installed(opened, chart, references)


@pytest.fixture
def kube(installed: Installed) -> Iterator[Kube]:
    """A namespace of the test's own under Pod Security "restricted", with a claim "storage"."""
    fresh = _new_namespace(installed, f"e2e-{uuid.uuid4().hex[:8]}")
    yield fresh
    fresh.run("delete", "namespace", fresh.namespace, "--wait=false")


@pytest.fixture(scope="session")
def shared_kube(installed: Installed) -> Iterator[Kube]:
    """As kube, shared by all tests: one base serves them all."""
    fresh = _new_namespace(installed, f"e2e-{uuid.uuid4().hex[:8]}")
    yield fresh
    fresh.run("delete", "namespace", fresh.namespace, "--wait=false")


@pytest.fixture(scope="session")
def restricted_pod() -> Callable[..., Manifest]:
    """A function that makes the spec of a pod that Pod Security "restricted" admits."""
    return _restricted_pod


def _restricted_pod(image: str, command: list[str], mounts: dict[str, Manifest]) -> Manifest:
    """A pod of one container; ``mounts`` are sources of volumes by the path in it."""
    writable = {"/tmp": {"emptyDir": {}}, "/dev/shm": {"emptyDir": {"medium": "Memory"}}}
    volumes = {
        path.strip("/").replace("/", "-"): (path, source)
        for path, source in (writable | mounts).items()
    }
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": name, "mountPath": path} for name, (path, _) in volumes.items()],
    }
    return {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": name} | source for name, (_, source) in volumes.items()],
    }


@pytest.fixture(scope="session")
def base(shared_kube: Kube, installed: Installed) -> str:
    """A random model in the claim, made by a Job in the trainer's image, with data/ beside it."""
    pod = _restricted_pod(
        installed.images["trainer"],
        ["python", "-c", MAKE_BASE, "/storage/base"],
        {"/storage": {"persistentVolumeClaim": {"claimName": "storage"}}},
    )
    shared_kube.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "make-base"},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }
    )
    shared_kube.wait_for("job", "make-base", "Complete")
    return "pvc://storage/base"


def _new_namespace(installed: Installed, name: str) -> Kube:
    kube = installed.kube(name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    claim = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "2Gi"}},
    }
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "storage"},
            "spec": claim,
        }
    )
    return kube


class Airflow:
    """A running Airflow, asked over its REST API as its pages ask it."""

    def __init__(
        self, url: str, password: str, require_whole: Callable[[], None] = lambda: None
    ) -> None:
        self.require_whole = require_whole
        """Fails where a process of it has ended: what is waited for would never come."""
        self.clues: Callable[[], str] = lambda: ""
        """What its work looks like in the cluster, for the message of a wait that was in vain."""
        self.api = httpx.Client(base_url=url, timeout=READ_SECONDS, trust_env=False)
        login = {"username": "admin", "password": password}
        told = self._answer("/auth/token", "POST", is_safe=True, json=login).raise_for_status()
        self.api.headers["Authorization"] = f"Bearer {told.json()['access_token']}"

    def ask(self, path: str, method: str = "GET", **more: Any) -> Any:
        """The answer to a request below /api/v2; a refusal is shown with its words."""
        answer = self._answer(f"/api/v2/{path}", method, method != "POST", **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def page(self, path: str) -> str:
        """A page for people, as the browser gets it."""
        answer = self._answer(path, "GET", is_safe=True)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.text

    def _answer(self, path: str, method: str, is_safe: bool, **more: Any) -> httpx.Response:
        """What may be repeated is asked again, where a busy Airflow fails at it or is late."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            is_last = not is_safe or time.monotonic() > deadline
            try:
                answer = self.api.request(method, path, **more)
                if is_last or not answer.is_server_error:
                    return answer
            except httpx.TransportError:
                if is_last:
                    raise
            time.sleep(POLL_SECONDS)

    def health(self, timeout: float = 300) -> dict[str, str]:
        """Each process and how it is, when all are well; or at last, when one never was.

        One whose heartbeat is late by half a minute counts as ill, and is well at the next.
        """
        deadline = time.monotonic() + timeout
        while True:
            parts = self.ask("monitor/health")
            found = {name: part["status"] for name, part in parts.items()}
            if set(found.values()) == {"healthy"} or time.monotonic() > deadline:
                return found
            time.sleep(POLL_SECONDS)

    def connect(self, connection_id: str, **fields: Any) -> None:
        """Have a connection with these fields; a mapping as ``extra`` is written as JSON."""
        body = {"connection_id": connection_id} | fields
        body["extra"] = json.dumps(body.get("extra", {}))
        known = [each["connection_id"] for each in self.ask("connections")["connections"]]
        if connection_id in known:
            self.ask(f"connections/{connection_id}", "PATCH", json=body)
        else:
            self.ask("connections", "POST", json=body)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run and return its id; waits until the DAG's file has been read."""
        deadline = time.monotonic() + 300
        while (
            self._answer(f"/api/v2/dags/{dag_id}", "GET", True).status_code == httpx.codes.NOT_FOUND
        ):
            broken = self.ask("importErrors")["import_errors"]
            assert time.monotonic() < deadline and not broken, f"no DAG {dag_id}: {broken}"
            time.sleep(POLL_SECONDS)
        self.ask(f"dags/{dag_id}", "PATCH", json={"is_paused": False})
        body = {"logical_date": None, "conf": conf or {}}
        run_id: str = self.ask(f"dags/{dag_id}/dagRuns", "POST", json=body)["dag_run_id"]
        return run_id

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State of each task by its id; of a mapped one as ``task[0]``."""
        return {_task_name(each): each["state"] for each in self._tasks(dag_id, run_id)}

    def wait(self, dag_id: str, run_id: str, timeout: float = 600) -> dict[str, str | None]:
        """Wait until a run has ended; the states of its tasks."""
        deadline = time.monotonic() + timeout
        while self.ask(f"dags/{dag_id}/dagRuns/{run_id}")["state"] in ("queued", "running"):
            if time.monotonic() > deadline:
                said = f"{self.states(dag_id, run_id)}\n{self.logs(dag_id, run_id)[-6000:]}"
                self._give_up(dag_id, run_id, f"has not ended after {timeout:.0f} s: {said}")
            self.require_whole()
            time.sleep(POLL_SECONDS)
        return self.states(dag_id, run_id)

    def wait_for(
        self, dag_id: str, run_id: str, task_id: str, state: str, timeout: float = 600
    ) -> None:
        """Wait until a task of a run is in a state."""
        deadline = time.monotonic() + timeout
        while (states := self.states(dag_id, run_id)).get(task_id) != state:
            if time.monotonic() > deadline:
                said = f"{states}\n{self.log(dag_id, run_id, task_id)[-6000:]}"
                self._give_up(dag_id, run_id, f"{task_id} is not {state}: {said}")
            self.require_whole()
            time.sleep(POLL_SECONDS)

    def _give_up(self, dag_id: str, run_id: str, words: str) -> NoReturn:
        """Fail with all that is known, and end the run: it would hold up the DAG's next one."""
        try:
            words += f"\n{self.ask('monitor/health')}\n{self.clues()}"
            self.kill(dag_id, run_id)
        finally:  # told also where nobody answers any more
            raise AssertionError(f"{dag_id} {run_id}: {words}")

    def log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """What all tries of a task have logged so far, as text."""
        task = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        one = f"{task}/{map_index}" if map_index >= 0 else task
        lines = []
        for number in range(1, self.ask(one)["try_number"] + 1):
            query = {"full_content": True, "map_index": map_index}
            said = self.ask(f"{task}/logs/{number}", params=query)["content"]
            lines += [_log_line(each) for each in said]
        return "\n".join(lines)

    def logs(self, dag_id: str, run_id: str) -> str:
        """The logs of all tasks of a run that did not succeed, for a failed test to show."""
        return "\n".join(
            f"== {_task_name(each)} ({each['state']})\n"
            + self.log(dag_id, run_id, each["task_id"], each["map_index"])
            for each in self._tasks(dag_id, run_id)
            if each["state"] not in ("success", "skipped", None)
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task has handed on."""
        task = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        return self.ask(f"{task}/xcomEntries/{key}")["value"]

    def kill(self, dag_id: str, run_id: str) -> None:
        """End a run as the button "mark as failed" does."""
        self.ask(f"dags/{dag_id}/dagRuns/{run_id}", "PATCH", json={"state": "failed"})

    def _tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        query = {"limit": 1000}
        answer = self.ask(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", params=query)
        tasks: list[dict[str, Any]] = answer["task_instances"]
        return tasks


def _task_name(task: dict[str, Any]) -> str:
    index = task["map_index"]
    return f"{task['task_id']}[{index}]" if index >= 0 else str(task["task_id"])


def _log_line(line: Any) -> str:
    """One line of a log: structured ones are shown with what failed."""
    if not isinstance(line, dict):
        return str(line)
    details = [
        f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or []
    ]
    return "\n".join([f"{line.get('level', '')} {line['event']}".strip(), *details])


def _without_requests(log: str) -> str:
    """A server's log but for the requests that it answered well, most of them the tests' own."""
    return "\n".join(line for line in log.splitlines() if "status_code=2" not in line)


@pytest.fixture(scope="session")
def ask_airflow() -> Callable[[str, str], Airflow]:
    """A function that logs in to the Airflow at an address, with a password."""
    return Airflow


@pytest.fixture(scope="module")
def airflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """`airflow standalone` as `make airflow` starts it, with our DAGs and those of tests/e2e/dags.

    One a module: started in half a minute, and no load for the tests that need none. It knows no
    connection until airflow_connection is asked for.
    """
    ours = (images.ROOT / "airflow" / "dags", Path(__file__).parent / "dags")
    home = tmp_path_factory.mktemp("airflow")
    server = orchestration.Server(home, ports.draw(), tuple(each for each in ours if each.is_dir()))
    server.start()
    try:
        server.wait_healthy()
        asked = Airflow(server.url, server.password(), server.require_whole)
        yield asked
        asked.api.close()
    finally:
        server.stop()
        print(_without_requests(server.log.read_text())[-4000:])


@pytest.fixture(scope="module")
def gateway_address(installed: Installed) -> str:
    """Where the chart's gateway is reached now; another module may install the chart anew."""
    found = installed.kube(installed.release.namespace).wait(
        "gateway", installed.release.name, lambda g: g.get("status", {}).get("addresses"), 180
    )
    return f"http://{found['status']['addresses'][0]['value']}"


@pytest.fixture(scope="module")
def airflow_connection(
    airflow_server: Airflow, installed: Installed, shared_kube: Kube, gateway_address: str
) -> str:
    """Have `fairlead_default` in the running Airflow: an account with `edit` in shared_kube."""
    config = account.kubeconfig(installed.access, shared_kube.namespace, "pipelines", {})
    extra = {
        "kube_config": config,
        "namespace": shared_kube.namespace,
        "gateway_address": gateway_address,
    }
    airflow_server.connect("fairlead_default", conn_type="fairlead", extra=extra)
    airflow_server.clues = shared_kube.clues
    return "fairlead_default"
