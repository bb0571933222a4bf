"""A job as a group of tasks: which there are, how they hang together, what each is told."""

import pytest
from airflow.sdk import DAG, XComArg
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import operators, stages, taskgroup
from fairlead_airflow.operators.stages import StageSensor, SubmitOperator
from fairlead_api.finetunestatus import Stage

SPEC = {"model": {"uri": "pvc://work/base"}}


def group(*arguments, **options):
    with DAG("weekly", schedule=None, default_args={"retries": 2}) as dag:
        made = taskgroup.FineTunePipelineTaskGroup("train", *arguments, **options)
    return dag, made


def test_every_stage_is_a_task_and_the_last_hands_on_the_result():
    dag, made = group({"spec": SPEC})
    assert list(dag.task_ids) == ["train.submit", "train.prepare", "train.train", "train.export"]
    assert [dag.get_task(f"train.{id_}").stage for id_ in stages.TASK_IDS.values()] == list(Stage)
    assert made.result.operator.task_id == "train.export"


def test_stages_follow_each_other_and_all_know_the_job():
    dag, _ = group({"spec": SPEC})
    order = ["submit", *stages.TASK_IDS.values()]
    for before, after in zip(order, order[1:], strict=False):
        assert f"train.{before}" in dag.get_task(f"train.{after}").upstream_task_ids
    for id_ in stages.TASK_IDS.values():
        job = dag.get_task(f"train.{id_}").job
        assert isinstance(job, XComArg)
        assert job.operator.task_id == "train.submit"


def test_single_is_one_task():
    dag, made = group({"spec": SPEC}, granularity="single", submit={"name": "units"})
    assert list(dag.task_ids) == ["train.fine_tune"]
    task = dag.get_task("train.fine_tune")
    assert type(task) is operators.FineTuneOperator
    assert (task.name, made.result.operator) == ("units", task)


def test_spec_alone_is_a_manifest_of_it():
    dag, _ = group(spec=SPEC)
    assert dag.get_task("train.submit").manifest == {"spec": SPEC}


def test_arguments_reach_every_task_and_those_of_submit_only_one():
    arguments = {"fairlead_conn_id": "other", "on_kill_action": "suspend", "retries": 5}
    dag, _ = group({"spec": SPEC}, arguments=arguments, submit={"namespace": "team"})
    assert {(t.fairlead_conn_id, t.on_kill_action, t.retries) for t in dag.tasks} == {
        ("other", "suspend", 5)
    }
    assert [t.namespace for t in dag.tasks] == ["team", None, None, None]


def test_group_takes_what_any_group_takes():
    _, made = group({"spec": SPEC}, tooltip="Trains the units")
    assert made.tooltip == "Trains the units"


def test_following_tasks_wait_for_the_last_stage():
    with DAG("weekly", schedule=None) as dag:
        made = taskgroup.FineTunePipelineTaskGroup("train", {"spec": SPEC})
        serve = operators.ServeOperator(task_id="serve", name="units", manifest={})
        made >> serve
    assert dag.get_task("serve").upstream_task_ids == {"train.export"}


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((), {}, "give either manifest or spec"),
        (({"spec": SPEC},), {"spec": SPEC}, "give either manifest or spec"),
        (({"spec": SPEC},), {"granularity": "step"}, "'step' is not a valid Granularity"),
    ],
    ids=["neither", "both", "granularity"],
)
def test_wrong_use_is_told_when_the_file_is_parsed(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        group(*arguments, **options)


@pytest.mark.parametrize("job", [None, "units", {"name": "units"}], ids=["none", "text", "no uid"])
def test_stage_without_a_job_says_so(job):
    with pytest.raises(AirflowFailException, match="did that task run"):
        StageSensor(task_id="train", job=job, stage="Train").body({})


def test_tasks_template_what_the_run_decides():
    assert "job" in StageSensor.template_fields
    assert "manifest" in SubmitOperator.template_fields
