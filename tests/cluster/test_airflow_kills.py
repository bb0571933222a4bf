"""A real Airflow kills, clears and drains its tasks; what becomes of their work is seen.

Airflow of this machine against a real API server. No operator runs: the work stays as it is made.
"""

import json
import os
import signal
import time

import httpx
import psutil
import pytest

from fairlead_api import names
from fairlead_chaos import ports
from fairlead_cluster import errors, orchestration, processes

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 240
BUSY_SECONDS = 60
CALL_SECONDS = 360  # a write waits 300 for another one of SQLite
WATCHES = "not seen by the operator yet"
"""Said when the wait has begun: of a trigger that it hasn't started yet, Airflow tells no kill."""
DAGS = """
from airflow.sdk import Param, dag

from fairlead_airflow.operators import FineTuneOperator

SPEC = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "configMapRef": {"name": "rows"}}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "work"},
}


def made(where, deferrable):
    @dag(dag_id=f"waits_in_{where}", schedule=None, params={"namespace": Param("", type="string")})
    def waits():
        FineTuneOperator(
            task_id="train",
            name="{{ run_id | replace('_', '-') | lower }}",
            namespace="{{ params.namespace }}",
            manifest={"spec": SPEC},
            deferrable=deferrable,
        )

    return waits()


triggerer = made("triggerer", True)
worker = made("worker", False)
"""


class Airflow:
    """A running Airflow, asked as its pages ask it."""

    def __init__(self, url, password):
        self.api = httpx.Client(base_url=url, timeout=CALL_SECONDS, trust_env=False)
        login = {"username": "admin", "password": password}
        token = self.api.post("/auth/token", json=login).raise_for_status().json()
        self.api.headers["Authorization"] = f"Bearer {token['access_token']}"

    def ask(self, method, path, **more):
        """Ask; what only reads is asked again where the server is too busy for an answer."""
        deadline = time.monotonic() + (BUSY_SECONDS if method == "GET" else 0)
        while True:
            try:
                answer = self.api.request(method, f"/api/v2/{path}", **more)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if not answer.is_server_error or time.monotonic() > deadline:
                    break
            time.sleep(0.5)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def log(self, run, number=1):
        query = {"full_content": True}
        lines = self.ask("GET", f"{run.path}/taskInstances/train/logs/{number}", params=query)
        return json.dumps(lines["content"])


class Run:
    """One run of a DAG with one task, and the job that the task makes."""

    def __init__(self, airflow, kubectl, where, name, namespace):
        self.airflow, self.kubectl, self.name, self.namespace = airflow, kubectl, name, namespace
        self.dag = f"waits_in_{where}"
        self.path = f"dags/{self.dag}/dagRuns/{name}"
        conf = {"namespace": namespace}
        body = {"logical_date": None, "dag_run_id": name, "conf": conf}
        airflow.ask("PATCH", f"dags/{self.dag}", json={"is_paused": False})
        airflow.ask("POST", f"dags/{self.dag}/dagRuns", json=body)

    def state(self):
        task = self.airflow.ask("GET", f"{self.path}/taskInstances/train")
        return task["state"], task["try_number"]

    def supervisor(self):
        """Process that watches over the task and passes on what its node's end says to it."""
        task = self.airflow.ask("GET", f"{self.path}/taskInstances/train")["id"]
        (found,) = [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if f"LocalExecutor: {task}" in " ".join(process.info["cmdline"] or [])
        ]
        return found

    def uid(self):
        """Of its job; empty while there is none."""
        kind = f"{names.FINETUNEJOB_PLURAL}.{names.GROUP}"
        listed = self.kubectl("-n", self.namespace, "get", kind, "-o", "json")
        jobs = {each["metadata"]["name"]: each["metadata"] for each in json.loads(listed)["items"]}
        return jobs.get(self.name, {}).get("uid", "")

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{self.state()}\n{self.airflow.log(self)}"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def server(cluster, tmp_path_factory):
    """`airflow standalone` as `make airflow` starts it."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "tests" / "kills"
    dags.mkdir(parents=True)
    (dags / "waiting.py").write_text(DAGS)
    extra = {"kube_config_path": str(cluster.kubeconfig)}
    connections = {"fairlead_default": {"conn_type": "fairlead", "extra": extra}}
    server = orchestration.Server(home, ports.draw(), (dags,), connections)
    server.start()
    try:
        server.wait_healthy()
        yield server
    finally:
        server.stop()
        print(server.log.read_text()[-4000:])


@pytest.fixture(scope="module")
def airflow(server):
    """A login, once the DAGs have been read."""
    asked = Airflow(server.url, server.password())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while asked.api.get("/api/v2/dags/waits_in_worker").status_code == 404:
        assert time.monotonic() < deadline, asked.ask("GET", "importErrors")
        time.sleep(0.5)
    yield asked
    asked.api.close()


@pytest.fixture
def started(airflow, kubectl, team):
    """Starts a run and waits until its task waits for the job that it has made."""

    def start(where, name):
        run = Run(airflow, kubectl, where, name, team)
        waiting = "deferred" if where == "triggerer" else "running"
        run.until(lambda: run.uid() and run.state()[0] == waiting)
        run.until(lambda: WATCHES in airflow.log(run))
        return run

    return start


@pytest.mark.parametrize("where", ["triggerer", "worker"])
def test_task_marked_as_failed_ends_its_work(airflow, started, where):
    run = started(where, f"failed-in-{where}")
    task = f"{run.path}/taskInstances/train"
    airflow.ask("PATCH", task, json={"new_state": "failed"})
    run.until(lambda: not run.uid())
    run.until(lambda: f"killed: deleting finetunejob/{run.name}" in airflow.log(run))


def test_run_marked_as_failed_ends_the_work_of_its_tasks(airflow, started):
    run = started("triggerer", "failed-run")
    airflow.ask("PATCH", run.path, json={"state": "failed"})
    run.until(lambda: not run.uid())


@pytest.mark.parametrize("where", ["triggerer", "worker"])
def test_cleared_task_takes_its_work_over(airflow, started, where):
    run = started(where, f"cleared-in-{where}")
    uid, state = run.uid(), run.state()[0]
    body = {
        "dry_run": False,
        "dag_run_id": run.name,
        "task_ids": ["train"],
        "only_failed": False,
        "only_running": False,
    }
    airflow.ask("POST", f"dags/{run.dag}/clearTaskInstances", json=body)
    run.until(lambda: run.state() == (state, 2))
    run.until(lambda: "is there already: waiting for it" in airflow.log(run, 2))
    run.until(lambda: WATCHES in airflow.log(run, 2))
    assert run.uid() == uid
    airflow.ask("PATCH", run.path, json={"state": "failed"})
    run.until(lambda: not run.uid())


def test_worker_whose_node_is_drained_leaves_its_work(airflow, started):
    run = started("worker", "drained")
    uid = run.uid()
    os.kill(run.supervisor(), signal.SIGTERM)
    run.until(lambda: f"the task is running: finetunejob/{run.name} goes on" in airflow.log(run))
    assert run.uid() == uid
    airflow.ask("PATCH", run.path, json={"state": "failed"})
    run.until(lambda: not run.uid())


def test_airflow_of_which_a_part_was_killed_is_not_taken_for_whole(server):
    """The last test of this Airflow: nothing starts the part again."""
    server.require_whole()
    leader = json.loads((server.home / "session.json").read_text())[0]
    parts = [pid for pid, parent in processes.session(leader).items() if parent == leader]
    (triggerer,) = [pid for pid in parts if "triggerer" in processes.command_line(pid)]
    os.kill(triggerer, signal.SIGKILL)
    told = r"Airflow's triggerer ended by itself: triggerer +\| \S"
    with pytest.raises(errors.ComponentFailed, match=told):
        processes.wait(server.require_whole, PATIENCE_SECONDS)
