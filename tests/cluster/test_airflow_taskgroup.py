"""The tasks of one job's stages against a real API server; the test writes the status."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest
from airflow.sdk.bases.operator import TriggerFailureReason
from airflow.sdk.exceptions import (
    AirflowFailException,
    TaskDeferralTimeout,
    TaskDeferred,
)

from fairlead_airflow import hooks, naming, stages, stagetrigger, taskstate, triggers
from fairlead_airflow.operators.stages import StageSensor, SubmitOperator
from fairlead_api import names
from fairlead_api.finetunestatus import Stage

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
SPEC = """
spec:
  model: {uri: "pvc://work/base"}
  datasets: [{name: rows, configMapRef: {name: rows}}]
  trainer: {type: SFT}
  hyperparameters: {maxSteps: 2}
  storage: {claimName: work}
"""
MOMENT = "2026-01-01T00:00:00Z"
ARTIFACT = {
    "kind": "Model",
    "uri": "pvc://work/finetunejobs/a/b/artifact",
    "digest": f"sha256:{'0' * 64}",
    "sizeBytes": 1,
    "baseModel": "pvc://work/base",
    "datasetDigest": f"sha256:{'1' * 64}",
}


@pytest.fixture(autouse=True)
def connection(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


@pytest.fixture
def there(connection):
    return hooks.FairleadHook()


@pytest.fixture(autouse=True)
def state(monkeypatch):
    """What Airflow, which doesn't run here, says of a task that is told to stop; set by a test."""
    said = SimpleNamespace(now="failed")
    monkeypatch.setattr(taskstate, "ask", lambda task: said.now)
    return said


def context(task_id):
    return {"ti": SimpleNamespace(dag_id="weekly", task_id=task_id, run_id="run-1", map_index=-1)}


@pytest.fixture
def made():
    """What the first task hands on, after it has made the job."""
    submit = SubmitOperator(task_id="train.submit", manifest=SPEC)
    return submit.execute(context("train.submit"))


@pytest.fixture
def of(made):
    return hooks.Target(made["kind"], made["namespace"], made["name"])


@pytest.fixture
def tell(kubectl, of):
    """Writes how far the stages are, and conditions."""

    def told(condition=None, reason="Succeeded", message="", **states):
        listed = [
            {"name": stage.value, "state": states[stage.lower()], "attempt": 1}
            for stage in Stage
            if stage.lower() in states
        ]
        conditions = [
            {
                "type": condition,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": MOMENT,
            }
        ] * bool(condition)
        more = {"artifact": ARTIFACT} if condition == "Complete" else {}
        status = {"stages": listed, "conditions": conditions, "preparedDigest": "sha256:1", **more}
        place = ("-n", of.namespace, "--subresource=status", "--type=merge")
        # By its whole name: tests of admission make kinds of the same plural in other groups.
        kind = f"{of.plural}.{names.GROUP}"
        kubectl("patch", kind, of.name, *place, "-p", json.dumps({"status": status}))

    return told


def sensor(made, stage, **changes):
    task_id = f"train.{stages.TASK_IDS[Stage(stage)]}"
    return StageSensor(task_id=task_id, job=made, stage=stage, **changes)


def deferred(operator):
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context(operator.task_id))
    return caught.value


def again(trigger):
    """The trigger as another triggerer makes it from what is stored."""
    path, arguments = trigger.serialize()
    assert path == "fairlead_airflow.stagetrigger.StageTrigger"
    return stagetrigger.StageTrigger(**json.loads(json.dumps(arguments)))


async def fire(trigger):
    (event,) = [event async for event in trigger.run()]
    return event.payload


async def finished(operator, deferral):
    """What a deferred task hands on once its trigger has fired."""
    event = await asyncio.wait_for(fire(again(deferral.trigger)), PATIENCE_SECONDS)
    return operator.execute_complete(context(operator.task_id), event, **deferral.kwargs)


def test_first_task_makes_the_job_and_does_not_wait(made, there, of):
    assert there.read(of)["metadata"]["uid"] == made["uid"]
    assert made["name"] == naming.resource_name(naming.TaskKey("weekly", "train.submit", "run-1"))


def test_first_task_that_runs_again_finds_its_job(made):
    again = SubmitOperator(task_id="train.submit", manifest=SPEC)
    assert again.execute(context("train.submit"))["uid"] == made["uid"]


def test_first_task_that_is_cleared_after_a_failure_makes_the_job_anew(made, tell):
    tell("Failed", "Crashed", "exit code 1", prepare="Failed")
    again = SubmitOperator(task_id="train.submit", manifest=SPEC)
    assert again.execute(context("train.submit"))["uid"] != made["uid"]


async def test_each_stage_ends_when_the_job_says_so(made, tell, state):
    prepare = sensor(made, "Prepare")
    waits = deferred(prepare)
    await asyncio.to_thread(lambda: tell(prepare="Succeeded", train="Running"))
    assert (await finished(prepare, waits))["preparedDigest"] == "sha256:1"
    train = sensor(made, "Train")
    waits = deferred(train)
    done = {"prepare": "Succeeded", "train": "Succeeded", "export": "Running"}
    await asyncio.to_thread(lambda: tell(**done))
    assert (await finished(train, waits))["state"] == "Succeeded"
    export = sensor(made, "Export")
    waits = deferred(export)
    await asyncio.to_thread(lambda: tell("Complete", **done | {"export": "Succeeded"}))
    result = await finished(export, waits)
    assert (result["uid"], result["artifact"]["uri"]) == (made["uid"], ARTIFACT["uri"])


async def test_stage_that_fails_fails_for_good_with_the_jobs_reason(made, tell):
    train = sensor(made, "Train")
    waits = deferred(train)
    failed = {"prepare": "Succeeded", "train": "Failed"}
    await asyncio.to_thread(lambda: tell("Failed", "OutOfMemory", "exit code 137", **failed))
    words = r"OutOfMemory: exit code 137; to make the job anew, clear the task that made it"
    with pytest.raises(AirflowFailException, match=words):
        await finished(train, waits)


def test_stage_that_is_cleared_looks_again(made, tell):
    tell("Failed", "OutOfMemory", "exit code 137", prepare="Succeeded", train="Failed")
    assert sensor(made, "Prepare").execute(context("train.prepare"))["state"] == "Succeeded"


async def test_job_that_is_deleted_meanwhile_ends_the_wait(made, there, of):
    train = sensor(made, "Train")
    waits = deferred(train)
    await asyncio.to_thread(there.delete, of, made["uid"])
    with pytest.raises(AirflowFailException, match="was deleted while this task waited"):
        await finished(train, waits)


def test_job_that_was_deleted_before_is_named(made, there, of):
    there.delete(of, made["uid"])
    with pytest.raises(AirflowFailException, match=f"{of} is gone"):
        sensor(made, "Train").execute(context("train.train"))


@pytest.mark.parametrize(
    ("action", "now", "is_there", "is_suspended"),
    [
        ("delete", "failed", False, None),
        ("suspend", "failed", True, True),
        ("keep", "failed", True, False),
        ("delete", "deferred", True, False),
        ("delete", "none", True, False),
    ],
    ids=["delete", "suspend", "keep", "another triggerer took it over", "cleared"],
)
async def test_kill_of_any_stage_ends_the_job_where_its_task_is_over(
    made, there, of, state, action, now, is_there, is_suspended
):
    state.now = now
    await again(deferred(sensor(made, "Train", on_kill_action=action)).trigger).on_kill()
    found = await asyncio.to_thread(there.read, of)
    assert (found is not None) == is_there
    if found is not None:
        assert found["spec"].get("suspend", False) == is_suspended


def test_time_that_is_over_ends_the_job(made, there, of):
    train = sensor(made, "Train")
    deferred(train)
    late = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    with pytest.raises(TaskDeferralTimeout):
        sensor(made, "Train").resume_execution("__fail__", late, context("train.train"))
    assert there.read(of) is None


def test_stage_that_is_not_deferred_waits_in_the_worker(made, tell):
    results = []
    operator = sensor(made, "Train", deferrable=False)
    waiting = threading.Thread(
        target=lambda: results.append(operator.execute(context("train.train")))
    )
    waiting.start()
    tell(prepare="Succeeded", train="Succeeded")
    waiting.join(PATIENCE_SECONDS)
    assert results[0]["state"] == "Succeeded"


async def test_all_stages_wait_on_one_stream(made, of, tell):
    firing = [
        asyncio.create_task(fire(again(deferred(sensor(made, stage)).trigger)))
        for stage in ("Prepare", "Train", "Export")
    ]
    await asyncio.sleep(0)
    shared = triggers.shared("fairlead_default", of.kind, of.namespace)
    assert shared.num_waiters == 3
    await asyncio.to_thread(lambda: tell("Complete"))
    events = await asyncio.wait_for(asyncio.gather(*firing), PATIENCE_SECONDS)
    assert [event["result"] for event in events] == ["succeeded"] * 3
    assert (shared.num_lists, shared.num_waiters) == (1, 0)
