"""Airflow's tasks against a real API server; the test writes the status, as the operator would.

The tasks' own code runs here, deferred ones on a real trigger; Airflow's scheduler is not needed.
"""

import asyncio
import json
import threading
import time
from types import SimpleNamespace

import pytest
from airflow.sdk.bases.operator import TriggerFailureReason
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferralError,
    TaskDeferralTimeout,
    TaskDeferred,
)
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import TaskStatesResult

from fairlead_airflow import (
    ending,
    following,
    hooks,
    naming,
    operators,
    stream,
    triggers,
    watch,
)
from fairlead_api import names

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
SPEC = """
spec:
  model: {uri: "pvc://work/base"}
  datasets: [{name: rows, configMapRef: {name: rows}}]
  trainer: {type: SFT}
  hyperparameters: {maxSteps: 2, learningRate: 2e-4}
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
    """The default connection, as an administrator may set it by the environment."""
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


class StandInSupervisor:
    """Says that every task is in one state, as Airflow would if it were so."""

    def __init__(self):
        self.state = "failed"
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.was_asked = threading.Event()

    def send(self, question):
        self.was_asked.set()
        assert self.may_answer.wait(PATIENCE_SECONDS)
        if self.state is None:
            raise EOFError("Request socket closed before length")
        (task,), (run,) = question.task_ids, question.run_ids
        return TaskStatesResult(task_states={run: {task: self.state}})


@pytest.fixture(autouse=True)
def airflow_says(monkeypatch):
    """Airflow, who is asked for a task's state before its work is ended."""
    stand_in = StandInSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", stand_in, raising=False)
    return stand_in


@pytest.fixture
def there(connection):
    return hooks.FairleadHook()


def context(run_id="run-1"):
    return {"ti": SimpleNamespace(dag_id="weekly", task_id="train", run_id=run_id, map_index=-1)}


KEY = naming.TaskKey("weekly", "train", "run-1")


@pytest.fixture
def job(team):
    """The FineTuneJob that the task makes."""
    return hooks.Target(names.FINETUNEJOB, team, naming.resource_name(KEY))


@pytest.fixture
def tell(kubectl, team):
    """Writes a condition to a resource's status."""

    def told(of, type_, reason="Succeeded", message="", **more):
        condition = {
            "type": type_,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": MOMENT,
        }
        patch = json.dumps({"status": {"conditions": [condition], **more}})
        place = ("-n", team, "--subresource=status", "--type=merge")
        # By its whole name: tests of admission make kinds of the same plural in other groups.
        kubectl("patch", f"{of.plural}.{names.GROUP}", of.name, *place, "-p", patch)

    return told


def task(**changes):
    return operators.FineTuneOperator(task_id="train", manifest=SPEC, **changes)


def deferred(operator, run_id="run-1"):
    """Run a task until it is deferred; the deferral."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context(run_id))
    return caught.value


def again(trigger):
    """The trigger as another triggerer makes it from what is stored."""
    path, arguments = trigger.serialize()
    assert path == "fairlead_airflow.triggers.ResourceTrigger"
    return triggers.ResourceTrigger(**arguments)


async def fire(trigger):
    """Run a trigger to its end; its one event."""
    (event,) = [event async for event in trigger.run()]
    return event.payload


async def in_thread(action, *arguments):
    return await asyncio.to_thread(action, *arguments)


async def test_connection_says_what_it_found(there, team):
    is_good, words = there.test_connection()
    assert is_good, words
    assert names.API_VERSION in words
    assert team in words


async def test_connection_to_a_namespace_that_is_not_there_is_told(cluster, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": "nosuch"}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_NOSUCH", described)
    there = hooks.FairleadHook("fairlead_nosuch")
    assert there.test_connection() == (False, "namespace nosuch is not there")


async def test_deferred_task_hands_on_the_artifact(job, tell):
    deferral = deferred(task())
    firing = asyncio.create_task(fire(again(deferral.trigger)))
    await in_thread(lambda: tell(job, "Complete", artifact=ARTIFACT))
    event = await asyncio.wait_for(firing, PATIENCE_SECONDS)
    result = task().execute_complete(context(), event, **deferral.kwargs)
    assert (result["name"], result["namespace"]) == (job.name, job.namespace)
    assert result["artifact"]["uri"] == ARTIFACT["uri"]


async def test_task_whose_worker_was_lost_takes_its_work_over(there, job, tell):
    first = deferred(task()).trigger
    second = deferred(task()).trigger
    assert (first.uid, first.of) == (second.uid, second.of)
    tell(job, "Complete", artifact=ARTIFACT)
    assert task().execute(context())["uid"] == first.uid


async def test_failed_work_is_made_anew_by_the_next_try(there, job, tell):
    first = deferred(task()).trigger
    tell(job, "Failed", "Crashed", "exit code 1")
    second = deferred(task()).trigger
    assert second.of == first.of
    assert second.uid != first.uid


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("DatasetError", AirflowFailException), ("Crashed", AirflowException)],
    ids=["for good", "retried"],
)
async def test_failure_names_its_reason_and_is_retried_where_that_may_help(job, tell, reason, kind):
    deferral = deferred(task())
    tell(job, "Failed", reason, "rows: line 2")
    event = await asyncio.wait_for(fire(deferral.trigger), PATIENCE_SECONDS)
    with pytest.raises(AirflowException, match=f"{reason}: rows: line 2") as failed:
        task().execute_complete(context(), event, **deferral.kwargs)
    assert type(failed.value) is kind


async def test_resource_deleted_behind_the_tasks_back_fails_it(there, job):
    deferral = deferred(task())
    firing = asyncio.create_task(fire(deferral.trigger))
    await in_thread(there.delete, job, deferral.trigger.uid)
    event = await asyncio.wait_for(firing, PATIENCE_SECONDS)
    assert event["result"] == "gone"
    with pytest.raises(AirflowException, match="was deleted while this task waited"):
        task().execute_complete(context(), event, **deferral.kwargs)


async def test_stream_that_still_tells_of_the_job_before_does_not_end_the_wait(there, job, tell):
    trigger = deferred(task()).trigger
    firing = asyncio.create_task(fire(trigger))
    await asyncio.sleep(0)
    shared = triggers.shared("fairlead_default", job.kind, job.namespace)
    shared._tell(job.name, None)  # as a stream does that lags behind, or begins again
    await in_thread(lambda: tell(job, "Complete", artifact=ARTIFACT))
    event = await asyncio.wait_for(firing, PATIENCE_SECONDS)
    assert event["result"] == "succeeded"


async def test_kill_of_a_deferred_task_is_tried_until_the_server_answers(there, job, monkeypatch):
    away = [watch.Unavailable("no route to host")] * 2
    delete = stream.Connection.delete

    async def refused_at_first(connection, name, uid):
        if away:
            raise away.pop()
        await delete(connection, name, uid)

    monkeypatch.setattr(stream.Connection, "delete", refused_at_first)
    await deferred(task()).trigger.on_kill()
    assert await in_thread(there.read, job) is None


def test_task_that_is_not_deferred_waits_in_the_worker(there, job, tell):
    results = []
    waiting = threading.Thread(
        target=lambda: results.append(task(deferrable=False).execute(context()))
    )
    waiting.start()
    wait_until(lambda: there.read(job))
    tell(job, "Complete", artifact=ARTIFACT)
    waiting.join(PATIENCE_SECONDS)
    assert results[0]["artifact"]["digest"] == ARTIFACT["digest"]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.1)


@pytest.mark.parametrize(
    ("action", "is_there", "is_suspended"),
    [("delete", False, None), ("suspend", True, True), ("keep", True, False)],
)
async def test_kill_of_a_deferred_task_ends_its_work(there, job, action, is_there, is_suspended):
    trigger = again(deferred(task(on_kill_action=action)).trigger)
    await trigger.on_kill()
    found = await in_thread(there.read, job)
    assert (found is not None) == is_there
    if found is not None:
        assert found["spec"].get("suspend") == is_suspended


def test_cleared_task_goes_on_with_what_its_kill_suspended(there, job):
    operator = task(on_kill_action="suspend")
    deferred(operator)
    operator.on_kill()
    assert there.read(job)["spec"]["suspend"]
    deferred(task(on_kill_action="suspend"))
    assert not there.read(job)["spec"]["suspend"]


ALIVE = ["deferred", "running", "queued", "scheduled", "up_for_retry", "restarting", None]


@pytest.mark.parametrize("state", ALIVE, ids=str)
async def test_work_of_a_task_that_is_not_over_outlives_a_kill(
    there, job, airflow_says, capsys, state
):
    operator = task()
    trigger = again(deferred(operator).trigger)
    airflow_says.state = state
    await trigger.on_kill()
    await in_thread(operator.on_kill)
    assert await in_thread(there.read, job) is not None
    words = f"the task is {state}" if state else "Request socket closed before length"
    said = capsys.readouterr().out
    assert said.count(words) == 2
    assert said.count(f"{job} goes on") == 2


async def test_kill_is_carried_out_though_airflow_cancels_it_each_second(there, job, airflow_says):
    trigger = deferred(task()).trigger
    airflow_says.may_answer.clear()
    killing = asyncio.create_task(asyncio.wait_for(trigger.on_kill(), 30))
    await in_thread(airflow_says.was_asked.wait, PATIENCE_SECONDS)
    for _ in range(3):
        killing.cancel("user-action")
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await killing
    airflow_says.may_answer.set()
    while ending._going:
        await asyncio.sleep(0.05)
    assert await in_thread(there.read, job) is None


async def test_kill_that_the_server_refuses_says_what_to_do(there, job, monkeypatch, capsys):
    async def refused(connection, name, uid):
        raise hooks.Refused("may not delete", 403)

    monkeypatch.setattr(stream.Connection, "delete", refused)
    await deferred(task()).trigger.on_kill()
    said = capsys.readouterr().out
    assert f"may not delete; end it by hand: kubectl -n {job.namespace} delete {job}" in said


async def test_kill_after_the_event_leaves_the_result(there, job, tell):
    trigger = deferred(task()).trigger
    await in_thread(lambda: tell(job, "Complete", artifact=ARTIFACT))
    await asyncio.wait_for(fire(trigger), PATIENCE_SECONDS)
    await trigger.on_kill()
    assert await in_thread(there.read, job) is not None


def test_task_killed_while_it_asks_for_its_work_leaves_none(there, job, monkeypatch):
    operator = task()
    apply = hooks.FairleadHook.apply

    def killed_meanwhile(hook, body):
        operator.on_kill()
        return apply(hook, body)

    monkeypatch.setattr(hooks.FairleadHook, "apply", killed_meanwhile)
    with pytest.raises(AirflowException, match="was killed while it made finetunejob/"):
        operator.execute(context())
    assert there.read(job) is None


def test_time_that_is_over_in_the_worker_ends_the_work(there, job, airflow_says, monkeypatch):
    def late(*_):
        raise AirflowTaskTimeout

    monkeypatch.setattr(following, "until_done", late)
    operator = task(deferrable=False)
    airflow_says.state = "running"
    with pytest.raises(AirflowTaskTimeout):
        operator.execute(context())
    operator.on_kill()  # as Airflow does next
    assert there.read(job) is None


async def test_kill_spares_a_job_of_the_same_name_made_since(there, job):
    old = deferred(task()).trigger
    there.delete(job, old.uid)
    new = deferred(task()).trigger
    await old.on_kill()
    assert (await in_thread(there.read, job))["metadata"]["uid"] == new.uid


def test_service_that_others_made_outlives_the_tasks_kill(there, kubectl, team):
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "production", "namespace": team},
        "spec": {"model": {"uri": "pvc://work/base"}},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    serve = operators.ServeOperator(
        task_id="serve", name="production", manifest={"spec": {"model": {"uri": "pvc://work/new"}}}
    )
    trigger = deferred(serve).trigger
    assert trigger.on_kill_action is ending.OnKill.KEEP
    serve.on_kill()
    found = there.read(hooks.Target(names.MODELSERVICE, team, "production"))
    assert found["spec"]["model"]["uri"] == "pvc://work/new"


def test_service_that_the_task_made_ends_with_it_also_by_a_later_try(there, team):
    of = hooks.Target(names.MODELSERVICE, team, "candidate")
    manifest = {"spec": {"model": {"uri": "pvc://work/base"}}}
    deferred(operators.ServeOperator(task_id="serve", name=of.name, manifest=manifest))
    later = operators.ServeOperator(task_id="serve", name=of.name, manifest=manifest)
    deferred(later)
    later.on_kill()
    assert there.read(of) is None


def test_time_that_is_over_while_deferred_ends_the_work(there, job):
    deferred(task())
    late = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    with pytest.raises(TaskDeferralTimeout):
        task().resume_execution("__fail__", late, context())
    assert there.read(job) is None


def test_work_of_another_name_than_before_is_not_passed_over_in_silence(there, job, capsys):
    deferred(task())
    late = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    with pytest.raises(TaskDeferralTimeout):
        task(name="renamed").resume_execution("__fail__", late, context())
    assert there.read(job) is not None
    said = capsys.readouterr().out
    assert "finetunejob/renamed is not there" in said
    assert f"fairlead.dev/airflow-task: {KEY}" in said


@pytest.mark.parametrize(
    ("reason", "raised"),
    [
        (TriggerFailureReason.TRIGGER_TIMEOUT, TaskDeferralTimeout),
        (TriggerFailureReason.TRIGGER_FAILURE, TaskDeferralError),
    ],
    ids=["out of time", "crashed trigger"],
)
def test_failure_while_deferred_keeps_the_task_its_resource(job, reason, raised):
    deferred(task())
    resumed = task()
    with pytest.raises(raised):
        resumed.resume_execution("__fail__", {"error": reason}, context())
    assert resumed.target == job


def test_failure_while_deferred_is_not_hidden_by_a_manifest_that_broke_since(job, capsys):
    broken = task(name="Not A Name")
    with pytest.raises(TaskDeferralError, match="Trigger failure"):
        broken.resume_execution("__fail__", {"error": "Trigger failure"}, context())
    assert "which resource it waited for can't be told" in capsys.readouterr().out


def test_time_that_is_over_while_the_server_is_away_is_told_with_its_work(job, monkeypatch, capsys):
    deferred(task())

    def away(hook, of, patience_seconds):
        assert patience_seconds == ending.KILL_SECONDS
        raise hooks.Unreachable("no route to host")

    monkeypatch.setattr(hooks.FairleadHook, "read", away)
    late = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    with pytest.raises(TaskDeferralTimeout):
        task().resume_execution("__fail__", late, context())
    assert f"{job} can't be read, and goes on: no route to host" in capsys.readouterr().out


def test_invalid_manifest_fails_for_good_with_its_field():
    broken = operators.FineTuneOperator(
        task_id="train", manifest=SPEC.replace("maxSteps: 2", "maxSteps: none")
    )
    with pytest.raises(AirflowFailException, match=r"spec\.hyperparameters\.maxSteps"):
        broken.execute(context())


def test_wrong_namespace_is_named():
    with pytest.raises(AirflowException, match='namespaces "nowhere" not found'):
        task(namespace="nowhere").execute(context())


def test_missing_connection_is_named():
    with pytest.raises(AirflowException, match="absent"):
        task(fairlead_conn_id="absent").execute(context())


def test_deleted_work_is_gone_when_the_task_is_done(there, job):
    deferred(task())
    delete = operators.DeleteOperator(task_id="delete", kind=job.kind, name=job.name)
    delete.execute(context())
    assert there.read(job) is None
    delete.execute(context())


async def test_many_who_wait_share_one_watch(there, team, tell):
    deferrals = [deferred(task(), f"run-{number}") for number in range(20)]
    firing = [asyncio.create_task(fire(again(each.trigger))) for each in deferrals]
    await asyncio.sleep(0)
    shared = triggers.shared("fairlead_default", names.FINETUNEJOB, team)
    assert shared.num_waiters == 20
    for each in deferrals:
        await in_thread(tell, each.trigger.of, "Complete")
    events = await asyncio.wait_for(asyncio.gather(*firing), PATIENCE_SECONDS)
    assert {event["result"] for event in events} == {"succeeded"}
    assert shared.num_lists == 1
    assert shared.num_waiters == 0
