"""What the tasks of the pipelines do with what earlier ones handed on."""

import os
import time
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import assets
from fairlead_airflow.pipelines import assessing, batch, deployment, telling, training

HALF = [{"metric": "exact_match", "operator": ">=", "threshold": 0.5}]
LIKED = [{"metric": "human", "operator": ">=", "threshold": 0.5}]


class Handed:
    """A stand-in for the task instance: what earlier tasks pushed, and what this one does."""

    def __init__(self, **pulled):
        self.pulled = pulled
        self.pushed = {}

    def xcom_pull(self, task, key="return_value"):
        return self.pulled.get((task.replace(".", "_")), {}).get(key)

    def xcom_push(self, key, value):
        self.pushed[key] = value


def params(**changes):
    plain = {
        "name": "units",
        "ask_human": False,
        "retrain": True,
        "production_gates": HALF,
        "staging_gates": [],
        "notify_conn_id": None,
    }
    return plain | changes


JOB = {"return_value": {"name": "job"}}


def scored(value):
    return {"return_value": {"scores": {"exact_match": value}}}


def decide(ti, num_retrains=1, **changes):
    return assessing.gate("assess", "train.export", num_retrains, params(**changes), ti)


@pytest.mark.parametrize(
    ("score", "num_retrains", "changes", "task"),
    [
        (0.6, 1, {}, "production"),
        (0.4, 1, {"staging_gates": [HALF[0] | {"threshold": 0.3}]}, "staging"),
        (0.4, 1, {}, "retrain"),
        (0.4, 0, {}, "notify"),
        (0.4, 1, {"retrain": False}, "notify"),
    ],
    ids=["production", "staging", "once more", "no more", "not wanted"],
)
def test_gate_leads_where_the_scores_say(score, num_retrains, changes, task):
    ti = Handed(assess_evaluate=scored(score), train_export=JOB)
    assert decide(ti, num_retrains, **changes) == task
    assert "exact_match >= 0.5" in ti.pushed[assessing.WHY]
    assert ti.pushed[assessing.JUDGED] == ("" if task == "retrain" else "job")


@pytest.mark.parametrize(("score", "task"), [(0.9, "production"), (0.1, "retrain")])
def test_score_of_a_person_counts_where_one_was_asked(score, task):
    answer = {"return_value": {"chosen_options": ["OK"], "params_input": {"score": score}}}
    ti = Handed(assess_evaluate=scored(0), assess_ask_person=answer, train_export=JOB)
    assert decide(ti, ask_human=True, production_gates=LIKED) == task


@pytest.mark.parametrize(
    ("asks", "task"), [(True, "assess.ask_person"), (False, "assess.gate")], ids=["asked", "not"]
)
def test_person_is_asked_where_the_form_says_so(asks, task):
    assert assessing.choose_judges("assess", {"ask_human": asks}) == task


FIRST = {"judged": "job", "why": "first"}
AGAIN = {"judged": "", "why": "first"}
SECOND = {"judged": "longer", "why": "second"}


@pytest.mark.parametrize(
    ("handed", "job"),
    [
        ({"assess_gate": FIRST}, "job"),
        ({"assess_gate": AGAIN, "assess_again_gate": SECOND}, "longer"),
        ({"assess_gate": FIRST, "assess_again_gate": SECOND}, "job"),
    ],
    ids=["first", "trained again", "left over"],
)
@pytest.mark.parametrize("task_id", ["production", "staging"])
def test_job_that_was_judged_is_the_one_that_serves(task_id, handed, job):
    with DAG("fine_tune") as dag:
        training.string()
    task = dag.get_task(task_id)
    name = task.manifest["spec"]["model"]["fineTuneJobRef"]["name"]
    assert task.render_template(name, {"ti": Handed(**handed)}) == job


@pytest.mark.parametrize(
    ("handed", "why"),
    [
        ({"assess_gate": FIRST}, "first"),
        ({"assess_gate": AGAIN, "assess_again_gate": SECOND}, "second"),
        # The first gate was cleared since, and Airflow keeps what skipped tasks once pushed.
        ({"assess_gate": FIRST, "assess_again_gate": SECOND}, "first"),
    ],
    ids=["first", "trained again", "left over"],
)
def test_notify_fails_with_the_reason_of_the_gate_that_decided(handed, why):
    with pytest.raises(AirflowFailException, match=f"^units: {why}$"):
        telling.tell_of_scores(ti=Handed(**handed), params=params())


class Told:
    """A stand-in for the events of an outlet."""

    def __init__(self):
        self.events = []

    def __getitem__(self, alias):
        return SimpleNamespace(add=lambda asset, extra: self.events.append((alias, asset, extra)))


def test_promoted_model_is_told_of():
    told = Told()
    model = {"artifact": {"uri": "pvc://a/b", "digest": "sha256:0"}, "fineTuneJob": "job"}
    served = {"name": "units", "namespace": "team", "url": "http://units", "model": model}
    training.announce_model(served, told)
    ((alias, asset, extra),) = told.events
    assert (alias, asset.uri) == (assets.PROMOTED_MODELS, "fairlead://models/team/units")
    assert extra["digest"] == "sha256:0"


def test_prepared_dataset_is_told_of():
    told = Told()
    ti = Handed(
        train_submit={"return_value": {"name": "job", "namespace": "team"}},
        train_prepare={"return_value": {"preparedDigest": "sha256:1"}},
    )
    training.announce_dataset(params(), ti, told)
    ((alias, asset, extra),) = told.events
    assert (alias, asset.uri) == (assets.PREPARED_DATASETS, "fairlead://datasets/team/units")
    assert extra["digest"] == "sha256:1"


@pytest.mark.parametrize(
    "examined",
    [
        {"scores": {"exact_match": 0.1}, "num_questions": 4, "num_errors": 0},
        {"scores": {}, "num_questions": 4, "num_errors": 0},
    ],
    ids=["gate", "score missing"],
)
def test_validation_fails_for_good(examined):
    with pytest.raises(AirflowFailException, match="exact_match >= 0.5"):
        deployment.validate(examined, {"gates": HALF})


@pytest.mark.parametrize("metric", ["judge", "human"])
def test_gate_on_a_score_that_nobody_measures_is_refused_before_the_cluster_is_asked(metric):
    gate = {"metric": metric, "operator": ">=", "threshold": 0.5}
    form = {"gates": [HALF[0], gate]}
    with pytest.raises(AirflowFailException, match=rf"gates\[1\]\.metric: {metric} will not be"):
        deployment.provision(form, DAG("deploy_model"), triggered(None), None, {})


def triggered(conf):
    """A run, as far as its first task asks for it."""
    moment = SimpleNamespace(date=lambda: SimpleNamespace(isoformat=lambda: "2026-02-01"))
    return SimpleNamespace(run_after=moment, conf=conf)


FIRST_TASKS = [
    lambda dag, run: training.check({}, dag, run, None),
    lambda dag, run: deployment.provision({}, dag, run, None, {}),
    lambda dag, run: batch.day({}, dag, run),
]


@pytest.mark.parametrize("first_task", FIRST_TASKS, ids=["fine_tune", "deploy_model", "batches"])
def test_parameter_that_the_dag_does_not_have_is_refused_first(first_task):
    dag = DAG("own", params={"name": "units", "dataset": ""})
    with pytest.raises(AirflowFailException, match="^datset: .*; is dataset meant"):
        first_task(dag, triggered({"name": "units", "datset": "pvc://a/b"}))


@pytest.mark.parametrize(
    ("changes", "prompts"),
    [
        ({"day": "2026-01-31", "folder": "/data"}, "/data/prompts/2026-01-31.jsonl"),
        ({"day": None, "folder": "/data"}, "/data/prompts/2026-02-01.jsonl"),
    ],
    ids=["given", "the run's"],
)
def test_files_of_a_day_lie_below_the_folder(changes, prompts):
    dag = DAG("batch_generation", params={"day": None})
    found = batch.day(changes | {"parameters": {"seed": 1}}, dag, triggered({"day": None}))
    assert (found["prompts"], found["parameters"]) == (prompts, {"seed": 1})
    assert found["folder"] == f"/data/results/{found['day']}"


@pytest.mark.parametrize(
    ("text", "age_seconds", "is_there"),
    [
        (None, 0, False),
        ("", batch.LOOK_SECONDS, False),
        ("{}", 0, False),
        ("{}", batch.LOOK_SECONDS / 2, False),
        ("{}", batch.LOOK_SECONDS, True),
        ("{}", -3600, False),
    ],
    ids=["no", "empty", "just begun", "growing", "whole", "clocks differ"],
)
def test_prompts_are_waited_for_until_nobody_writes_them(tmp_path, text, age_seconds, is_there):
    file = tmp_path / "prompts.jsonl"
    if text is not None:
        file.write_text(text)
        os.utime(file, times=(time.time() - age_seconds,) * 2)
    sensor = batch.PromptsSensor(task_id="wait", prompts=str(file))
    assert sensor.mode == "reschedule"
    assert sensor.poke({}) is is_there
