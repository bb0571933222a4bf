"""The pipelines in a real Airflow against the whole cluster: green, red for a reason, killed.

The base is tiny and random, so that gates are what a test says, not what a model learnt.
"""

import contextlib
import json
import os
import shutil
import sqlite3

import pytest

from fairlead_api import names

pytestmark = pytest.mark.e2e

PASS_SECONDS = 1100  # a training, two vLLMs and fourteen tasks: 583 beside the cluster tier
RUN_SECONDS = 800  # a training and a vLLM or two on two busy cores; a test waits for two at most
ROWS = "\n".join(
    json.dumps({"prompt": f"{number} grams", "completion": f" {number} g"}) for number in range(50)
)
QUESTIONS = "\n".join(ROWS.splitlines()[:4])
ANY_MODEL = [{"metric": "perplexity", "operator": ">=", "threshold": 1}]
NO_MODEL = [{"metric": "exact_match", "operator": ">=", "threshold": 1}]


@pytest.fixture
def form(base, airflow_connection):
    """The form of a run that trains for two steps."""
    return {
        "base_model": base,
        "claim": "storage",
        "dataset": None,
        "rows": ROWS,
        "max_steps": 2,
        "max_length": 64,
        "training_resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "training_more": {"maxRestarts": 0},
        "serving_resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        "engine": {"maxModelLen": 128, "extraArgs": {"enforce-eager": ""}},
        "questions": QUESTIONS,
        "production_gates": ANY_MODEL,
        "staging_gates": [],
    }


def job_of(airflow_server, run, task="train.submit"):
    return airflow_server.xcom("fine_tune", run, task)["name"]


def succeeded(states):
    return {task for task, state in states.items() if state == "success"}


def test_model_that_passes_serves_in_production_and_is_told_of(airflow_server, form, shared_kube):
    run = airflow_server.trigger("fine_tune", form | {"name": "passes"})
    states = airflow_server.wait("fine_tune", run, PASS_SECONDS)
    assert {"failed", "upstream_failed"}.isdisjoint(states.values()), airflow_server.logs(
        "fine_tune", run
    )
    stages = {f"train.{stage}" for stage in ("submit", "prepare", "train", "export")}
    assert succeeded(states) >= stages | {"production", "announce_model", "clean_up", "watcher"}
    assert states["retrain.submit"] == states["staging"] == states["notify"] == "skipped"
    service = shared_kube.get("modelservice", "passes")
    assert service["status"]["model"]["fineTuneJob"] == job_of(airflow_server, run)
    assert shared_kube.find("modelservice", "passes-candidate") is None
    assert shared_kube.find("finetunejob", job_of(airflow_server, run)) is not None
    told = airflow_server.ask("assets/events", params={"source_run_id": run})["asset_events"]
    extras = {event["source_task_id"]: event["extra"] for event in told}
    assert extras["announce_model"]["digest"] == service["status"]["model"]["artifact"]["digest"]
    assert extras["announce_dataset"]["digest"].startswith("sha256:")


def test_model_that_fails_its_gates_is_trained_longer_once_and_then_told_of(
    airflow_server, form, shared_kube
):
    gates = {"production_gates": NO_MODEL, "staging_gates": NO_MODEL, "keep_job": False}
    run = airflow_server.trigger("fine_tune", form | gates | {"name": "fails"})
    airflow_server.wait_for("fine_tune", run, "retrain.prepare", "success", RUN_SECONDS)
    longer = shared_kube.get("finetunejob", job_of(airflow_server, run, "retrain.submit"))
    assert longer["spec"]["hyperparameters"]["maxSteps"] == 4
    states = airflow_server.wait("fine_tune", run, RUN_SECONDS)
    failed = {task for task, state in states.items() if state == "failed"}
    assert failed == {"notify", "watcher"}, airflow_server.logs("fine_tune", run)
    assert states["clean_up"] == "success"
    assert airflow_server.ask(f"dags/fine_tune/dagRuns/{run}")["state"] == "failed"
    assert "exact_match >= 1 (it is 0)" in airflow_server.log("fine_tune", run, "notify")
    assert "failed: notify" in airflow_server.log("fine_tune", run, "watcher")
    for name in ("fails", "fails-candidate", "fails-staging"):
        assert shared_kube.find("modelservice", name) is None
    for task in ("train.submit", "retrain.submit"):
        assert shared_kube.find("finetunejob", job_of(airflow_server, run, task)) is None


def test_killed_run_frees_its_compute(airflow_server, form, shared_kube):
    long = {"name": "killed", "max_steps": 1_000_000}
    run = airflow_server.trigger("fine_tune", form | long)
    airflow_server.wait_for("fine_tune", run, "train.train", "deferred", RUN_SECONDS)
    job = job_of(airflow_server, run)
    pods = f"{names.GROUP}/finetunejob={job}"
    shared_kube.wait(
        "finetunejob",
        job,
        lambda body: (body["status"].get("workers") or {}).get("ready"),
        what="a training pod",
    )
    assert shared_kube.list("pods", pods)
    airflow_server.kill("fine_tune", run)
    states = airflow_server.wait("fine_tune", run)
    assert (states["train.train"], states["clean_up"]) == ("failed", "success")
    assert airflow_server.ask(f"dags/fine_tune/dagRuns/{run}")["state"] == "failed"
    assert shared_kube.find("finetunejob", job) is None
    shared_kube.run("wait", "pods", "-l", pods, "--for=delete", "--timeout=300s", timeout=360)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"staging_gates": [{"metric": "judge", "operator": ">=", "threshold": 0.5}]},
            "staging_gates[0].metric: judge will not be measured",
        ),
        (
            {"rows": ROWS + '\n{"prompt": "no completion"}'},
            "line 51: completion is missing",
        ),
        (
            {"training_more": {"hyperparameters": {"maxSteps": "many"}}},
            "spec.hyperparameters.maxSteps",
        ),
        ({"dataset": "https://127.0.0.1:9/rows.jsonl", "rows": None}, "127.0.0.1:9"),
    ],
    ids=["gate on a score that nobody measures", "broken row", "manifest", "address"],
)
def test_run_that_can_come_to_nothing_ends_before_any_compute(
    airflow_server, form, shared_kube, changes, words
):
    before = {job["metadata"]["name"] for job in shared_kube.list("finetunejobs")}
    run = airflow_server.trigger("fine_tune", form | changes | {"name": "refused"})
    if "dataset" in changes:  # an address may answer later: it is tried again
        airflow_server.wait_for("fine_tune", run, "check", "up_for_retry")
        said = airflow_server.log("fine_tune", run, "check")
        airflow_server.kill("fine_tune", run)
        airflow_server.wait("fine_tune", run)
    else:
        states = airflow_server.wait("fine_tune", run)
        assert (states["check"], states["train.submit"]) == ("failed", "upstream_failed")
        said = airflow_server.log("fine_tune", run, "check")
    assert words in said
    assert {job["metadata"]["name"] for job in shared_kube.list("finetunejobs")} == before


@pytest.fixture(scope="module")
def other_base(base, shared_kube):
    """The same model at another address."""
    storage = shared_kube.volume("storage")
    shutil.copytree(storage / "base", storage / "other-base", dirs_exist_ok=True)
    owner = (storage / "base").stat()
    for path in [storage / "other-base", *(storage / "other-base").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)  # pods run as a user of their own
    return "pvc://storage/other-base"


@pytest.fixture(scope="module")
def deployment(airflow_connection):
    """The form of a deployment, but for the model."""
    return {
        "name": "deployed",
        "fine_tune_job": None,
        "serving_resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        "engine": {"maxModelLen": 128, "extraArgs": {"enforce-eager": ""}},
        "questions": QUESTIONS,
    }


@pytest.fixture(scope="module")
def deployed(airflow_server, deployment, base):
    """A run that has deployed the base, once for all tests of this module."""
    run = airflow_server.trigger("deploy_model", deployment | {"model_uri": base})
    states = airflow_server.wait("deploy_model", run, RUN_SECONDS)
    assert set(states.values()) == {"success"}, airflow_server.logs("deploy_model", run)
    return run


def test_deployment_that_is_not_good_goes_back_to_the_model_before(
    airflow_server, deployment, deployed, base, other_base, shared_kube
):
    assert shared_kube.get("modelservice", "deployed")["spec"]["model"] == {"uri": base}
    worse = deployment | {"model_uri": other_base, "gates": NO_MODEL}
    run = airflow_server.trigger("deploy_model", worse)
    states = airflow_server.wait("deploy_model", run, RUN_SECONDS)
    failed = {task for task, state in states.items() if state == "failed"}
    assert failed == {"validate", "watcher"}, airflow_server.logs("deploy_model", run)
    assert states["roll_back"] == "success"
    assert "FAILED  exact_match >= 1" in airflow_server.log("deploy_model", run, "validate")
    assert "back to the model before" in airflow_server.log("deploy_model", run, "roll_back")
    assert shared_kube.get("modelservice", "deployed")["spec"]["model"] == {"uri": base}
    shared_kube.wait_for("modelservice", "deployed", "Ready")


def test_deployment_of_nothing_ends_before_the_service_changes(
    airflow_server, deployment, shared_kube
):
    run = airflow_server.trigger(
        "deploy_model", deployment | {"name": "nothing", "fine_tune_job": "absent"}
    )
    states = airflow_server.wait("deploy_model", run)
    assert (states["provision"], states["serve"]) == ("failed", "upstream_failed")
    assert "finetunejob/absent is not there" in airflow_server.log("deploy_model", run, "provision")
    assert shared_kube.find("modelservice", "nothing") is None


DAY = "2026-01-31"
END = "2"  # the base's token that ends an answer


@pytest.fixture
def batch(airflow_server, deployed, tmp_path):
    """The form of a batch of six prompts, one of them broken, into a warehouse of its own."""
    rows = [{"id": f"p{number}", "prompt": f"{number} grams"} for number in range(5)]
    folder = tmp_path / "prompts"
    folder.mkdir()
    lines = [json.dumps(row) for row in rows]
    file = folder / f"{DAY}.jsonl"
    file.write_text("\n".join([*lines, '{"prompt": ']))
    os.utime(file, times=(0, 0))  # else the run waits a minute for more to be written
    warehouse = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}
    airflow_server.connect("fairlead_warehouse", **warehouse)
    return {
        "name": "deployed",
        "day": DAY,
        "folder": str(tmp_path),
        "max_tokens": 8,
        # The model's weights are random: left alone, it may end no answer within the limit.
        "parameters": {"temperature": 0, "min_tokens": 3, "logit_bias": {END: 100}},
        "replicas": 2,
        "max_repetition": 1,
        "min_accepted": 0.1,
    }


def test_days_prompts_come_to_rows_of_the_warehouse_and_the_service_to_what_it_was(
    airflow_server, batch, shared_kube, tmp_path
):
    run = airflow_server.trigger("batch_generation", batch)
    states = airflow_server.wait("batch_generation", run, RUN_SECONDS)
    assert set(states.values()) == {"success"}, airflow_server.logs("batch_generation", run)
    prepared = airflow_server.xcom("batch_generation", run, "prepare")
    assert (prepared["num_prompts"], prepared["num_broken"]) == (5, 1)
    scaled = airflow_server.xcom("batch_generation", run, "scale_up")
    assert scaled["replicas"] == 2
    loaded = airflow_server.xcom("batch_generation", run, "load")["num_rows"]
    with contextlib.closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM answers").fetchone()
    assert count == loaded > 0
    assert shared_kube.get("modelservice", "deployed")["spec"]["replicas"] == 1


def test_killed_batch_leaves_no_replica_behind(airflow_server, batch, shared_kube):
    run = airflow_server.trigger("batch_generation", batch)
    airflow_server.wait_for("batch_generation", run, "scale_up", "deferred")
    airflow_server.kill("batch_generation", run)
    states = airflow_server.wait("batch_generation", run)
    assert (states["scale_up"], states["scale_down"]) == ("failed", "success")
    assert airflow_server.ask(f"dags/batch_generation/dagRuns/{run}")["state"] == "failed"
    assert shared_kube.get("modelservice", "deployed")["spec"]["replicas"] == 1


def test_batch_with_too_many_broken_prompts_is_never_asked(airflow_server, batch, shared_kube):
    run = airflow_server.trigger("batch_generation", batch | {"max_broken": 0.1})
    states = airflow_server.wait("batch_generation", run)
    failed = {task for task, state in states.items() if state == "failed"}
    assert failed == {"prepare", "watcher"}
    assert states["scale_up"] == "upstream_failed"
