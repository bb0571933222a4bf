"""What the pipelines decide, without Airflow: rows, manifests, gates, ends, deployments."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from fairlead_airflow import gates
from fairlead_airflow.pipelines import checking, deploying, outcomes, parameters, plan, rows
from fairlead_api import names

ROW = '{"prompt": "a", "completion": "b"}'
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def form(make, **changes):
    """The form as a run gets it where nobody changes it, but for these."""
    return {key: param.value for key, param in make().items()} | changes


# --- rows


@pytest.mark.parametrize(
    ("text", "format_", "count"),
    [
        (ROW, "Auto", 1),
        (f"{ROW}\n\n{ROW}\n", "PromptCompletion", 2),
        (f"\ufeff{ROW}", "Auto", 1),
        (json.dumps(CHAT), "Conversational", 1),
        (json.dumps({"text": "a"}), "Text", 1),
        (json.dumps({"prompt": CHAT["messages"][:1], "completion": "b"}), "Auto", 1),
    ],
    ids=["auto", "blank lines", "byte order mark", "messages", "text", "messages as prompt"],
)
def test_good_rows_are_counted(text, format_, count):
    assert rows.check("rows", text, format_) == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "rows: there is no row in it"),
        (" \n\n", "rows: there is no row in it"),
        (f"{ROW}\n{{broken", "line 2: no JSON"),
        (f"{ROW}\n[1]", "line 2: must be an object, it is list"),
        (f'{ROW}\n\n{{"prompt": "a"}}', "line 3: completion is missing"),
        (f'{ROW}\n{{"prompt": " ", "completion": "b"}}', "line 2: prompt is empty"),
        ('{"prompt": 3, "completion": "b"}', "line 1: prompt must be a text or a list of messages"),
        ('{"question": "a"}', "line 1: has the fields of no shape"),
        ('{"messages": []}', "line 1: messages must be a text or a list of messages"),
        ('{"messages": [{"role": "king", "content": "a"}]}', r"messages \[0\] must have a role"),
        ('{"messages": [{"role": "user", "content": 1}]}', r"messages \[0\] must have a content"),
    ],
    ids=[
        "nothing",
        "blanks",
        "no JSON",
        "list",
        "field missing",
        "empty",
        "number",
        "no shape",
        "no messages",
        "role",
        "content",
    ],
)
def test_broken_rows_are_named_by_their_line(text, words):
    with pytest.raises(rows.BrokenRows, match=words):
        rows.check("rows", text)


def test_row_of_another_shape_than_the_first_is_broken():
    with pytest.raises(rows.BrokenRows, match="line 2: prompt is missing; a PromptCompletion row"):
        rows.check("rows", f'{ROW}\n{{"text": "a"}}')


def test_many_broken_rows_are_counted_and_ten_told():
    with pytest.raises(rows.BrokenRows, match="12 of 13 rows are broken") as broken:
        rows.check("rows", "\n".join([ROW, *["1"] * 12]))
    assert str(broken.value).count("line ") == 10
    assert "2 more" in str(broken.value)


def test_more_rows_than_a_run_can_bring_are_sent_to_a_claim():
    with pytest.raises(rows.BrokenRows, match="put larger data on a claim"):
        rows.check("https://example/rows", ROW + " " * rows.MAX_CHARS)


# --- manifests


def test_default_form_makes_the_job_of_the_example():
    job = plan.finetunejob(form(parameters.fine_tune))
    assert job["spec"]["model"] == {"uri": "pvc://demo/bases/dates"}
    assert job["spec"]["datasets"][0]["uri"] == "pvc://demo/datasets/amounts.jsonl"
    assert job["spec"]["hyperparameters"] == {
        "maxSteps": 300,
        "learningRate": 0.006,
        "perDeviceTrainBatchSize": 8,
        "lrSchedulerType": "cosine",
        "warmupRatio": 0.05,
    }


@pytest.mark.parametrize(
    ("changes", "where", "value"),
    [
        ({"base_model": "pvc://a/b"}, ("model", "uri"), "pvc://a/b"),
        ({"claim": "other"}, ("storage", "claimName"), "other"),
        ({"data_format": "Text"}, ("datasets", 0, "format"), "Text"),
        ({"max_steps": 7}, ("hyperparameters", "maxSteps"), 7),
        ({"learning_rate": 1e-5}, ("hyperparameters", "learningRate"), 1e-5),
        ({"batch_size": 3}, ("hyperparameters", "perDeviceTrainBatchSize"), 3),
        ({"max_length": 64}, ("prepare", "maxLength"), 64),
        ({"tuning": "LoRA"}, ("tuning", "type"), "LoRA"),
        ({"num_nodes": 2}, ("numNodes",), 2),
        ({"gpus_per_node": 4}, ("resourcesPerNode", "limits", names.GPU_RESOURCE), "4"),
        ({"training_resources": {}}, ("resourcesPerNode",), {}),
        ({"training_more": {"maxRestarts": 0}}, ("maxRestarts",), 0),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) and value else None,
)
def test_every_field_of_the_form_reaches_the_job(changes, where, value):
    found = plan.finetunejob(form(parameters.fine_tune, **changes))["spec"]
    for step in where:
        found = found[step]
    assert found == value


def test_rows_of_the_form_stand_in_the_job():
    job = plan.finetunejob(form(parameters.fine_tune), ROW)
    assert job["spec"]["datasets"] == [{"name": "rows", "format": "Auto", "inline": ROW}]


@pytest.mark.parametrize(
    ("changes", "where", "value"),
    [
        ({"engine": {"dtype": "float16"}}, ("engine",), {"dtype": "float16"}),
        ({"serving_resources": {}}, ("resources",), {}),
        ({"gpus_per_replica": 2}, ("resources", "limits", names.GPU_RESOURCE), "2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) and value else None,
)
def test_every_field_of_the_form_reaches_the_service(changes, where, value):
    changed = form(parameters.fine_tune, **changes)
    found = plan.modelservice(changed, {"uri": "pvc://a/b"})["spec"]
    assert found["model"] == {"uri": "pvc://a/b"}
    for step in where:
        found = found[step]
    assert found == value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training_more": {"hyperparameters": {"maxSteps": "x"}}}, "hyperparameters.maxSteps"),
        ({"training_more": {"hyperparameters": {"numTrainEpochs": 0}}}, "numTrainEpochs"),
        ({"training_more": {"nodes": 2}}, "spec.nodes"),
        ({"training_resources": {"requests": {"cpu": []}}}, "resourcesPerNode.requests"),
    ],
    ids=["type", "bound", "unknown field", "quantity"],
)
def test_form_that_makes_no_job_names_the_field(changes, words):
    with pytest.raises(plan.InvalidPlan, match=words):
        plan.finetunejob(form(parameters.fine_tune, **changes))


def test_form_that_makes_no_service_names_the_field():
    with pytest.raises(plan.InvalidPlan, match=r"spec\.engine\.dtype"):
        plan.modelservice(
            form(parameters.fine_tune, engine={"dtype": "int3"}), {"uri": "pvc://a/b"}
        )


@pytest.mark.parametrize(
    ("numbers", "longer"),
    [
        ({"maxSteps": 300, "seed": 1}, {"maxSteps": 600, "seed": 1}),
        ({"numTrainEpochs": 3}, {"numTrainEpochs": 6}),
        ({}, {"numTrainEpochs": 2}),
        ({"numTrainEpochs": None}, {"numTrainEpochs": 2}),
        (None, {"numTrainEpochs": 2}),
    ],
    ids=["steps", "epochs", "default", "null", "null-around"],
)
def test_longer_job_takes_twice_the_steps_and_nothing_else(numbers, longer):
    job = {"spec": {"hyperparameters": numbers, "numNodes": 2}}
    assert plan.longer(job) == {"spec": {"hyperparameters": longer, "numNodes": 2}}
    assert job["spec"]["hyperparameters"] is numbers


def test_name_of_a_candidate_always_fits():
    assert len(plan.beside("n" * plan.MAX_NAME, plan.CANDIDATE)) == names.MAX_NAME_LENGTH
    assert len(plan.beside("n" * plan.MAX_NAME, plan.STAGING)) <= names.MAX_NAME_LENGTH


def test_merged_lays_member_over_member():
    below = {"a": {"b": 1, "c": 2}, "d": 3}
    assert plan.merged(below, {"a": {"c": 4}, "d": {"e": 5}}) == {
        "a": {"b": 1, "c": 4},
        "d": {"e": 5},
    }


# --- checks before any compute


@pytest.mark.parametrize("conf", [None, {}, {"a": 1}], ids=["none", "empty", "known"])
def test_parameters_of_the_dag_are_taken(conf):
    checking.require_known(conf, ["a", "b"])


def test_every_unknown_parameter_is_named_with_what_may_be_meant():
    with pytest.raises(plan.InvalidPlan) as refused:
        checking.require_known({"qestions": "", "questions": "", "zz": 1}, ["questions", "name"])
    assert str(refused.value).splitlines() == [
        "qestions: this DAG has no such parameter; is questions meant?",
        "zz: this DAG has no such parameter; there are questions, name",
    ]


def test_default_form_can_come_to_an_end():
    checked = checking.fine_tune(form(parameters.fine_tune), None)
    assert set(checked) == {"job", "longer_job", "engine", "resources"}
    steps = [checked[job]["spec"]["hyperparameters"]["maxSteps"] for job in ("job", "longer_job")]
    assert steps == [300, 600]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": ROW}, "rows: there is a dataset, too"),
        ({"dataset": None}, "dataset: give one, or rows"),
        (
            {"production_gates": [{"metric": "judge", "operator": ">=", "threshold": 0.5}]},
            r"production_gates\[0\]\.metric: judge will not be measured",
        ),
        (
            {"staging_gates": [{"metric": "human", "operator": ">=", "threshold": 0.5}]},
            r"staging_gates\[0\]\.metric: human will not be measured",
        ),
        (
            {"staging_gates": [{"metric": "exact_match", "operator": ">=", "threshold": 90}]},
            r"staging_gates\[0\]\.threshold",
        ),
    ],
    ids=["two sources", "no source", "no judge", "no person", "percent"],
)
def test_run_that_can_come_to_nothing_is_refused(changes, words):
    with pytest.raises((plan.InvalidPlan, gates.InvalidGate), match=words):
        checking.fine_tune(form(parameters.fine_tune, **changes), None)


TOO_LONG = {"training_more": {"hyperparameters": {"maxSteps": None, "numTrainEpochs": 6000}}}


def test_job_that_could_not_be_trained_longer_is_refused_before_it_is_trained():
    with pytest.raises(plan.InvalidPlan, match=r"numTrainEpochs.*\nretrain: "):
        checking.fine_tune(form(parameters.fine_tune, **TOO_LONG), None)
    assert checking.fine_tune(form(parameters.fine_tune, retrain=False, **TOO_LONG), None)


@pytest.mark.parametrize(
    ("changes", "metric"), [({"judge": "big"}, "judge"), ({"ask_human": True}, "human")]
)
def test_gate_on_a_score_that_somebody_gives_is_taken(changes, metric):
    gate = [{"metric": metric, "operator": ">=", "threshold": 0.5}]
    assert checking.fine_tune(form(parameters.fine_tune, staging_gates=gate, **changes), None)


# --- how a run ended


ENDS = ("announce_model", "staging")
DONE = {"check": "success", "announce_model": "success", "staging": "skipped"}


def test_run_that_reached_an_end_tells_which():
    assert outcomes.require_success(DONE, ENDS) == "announce_model"


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"notify": "failed", "staging": "upstream_failed"}, "^failed: notify$"),
        ({"announce_model": "upstream_failed"}, "not run, .* announce_model"),
        ({"announce_model": "skipped"}, "ended before one of these was done"),
        ({"announce_model": None}, "ended before one of these was done"),
    ],
    ids=["failed", "not run", "killed between two tasks", "not begun"],
)
def test_run_that_did_not_is_a_failure(states, words):
    with pytest.raises(outcomes.RunFailed, match=words):
        outcomes.require_success(DONE | states, ENDS)


def test_clean_up_that_failed_fails_the_run():
    with pytest.raises(outcomes.RunFailed, match="failed: clean_up"):
        outcomes.require_success(DONE | {"clean_up": "failed"}, ENDS)


# --- deployments


@pytest.mark.parametrize(
    ("changes", "events", "model"),
    [
        ({"fine_tune_job": "a"}, [], {"fineTuneJobRef": {"name": "a"}}),
        ({"fine_tune_job": None, "model_uri": "pvc://a/b"}, [], {"uri": "pvc://a/b"}),
        ({}, [{"uri": "pvc://a/1"}, {"uri": "pvc://a/2"}, {}], {"uri": "pvc://a/2"}),
    ],
    ids=["job", "address", "the newest that triggered it"],
)
def test_model_is_the_one_that_the_run_names(changes, events, model):
    assert deploying.model_of(form(parameters.deploy_model, **changes), events) == model


def test_events_are_told_by_their_time_whatever_order_airflow_has_them_in():
    first, second, third = (
        SimpleNamespace(
            timestamp=datetime(2026, 1, day, tzinfo=UTC), extra={"uri": f"pvc://a/{day}"}
        )
        for day in (1, 2, 3)
    )
    events = {"asset": [third, first], "another": [second]}
    assert deploying.told(events) == [first.extra, second.extra, third.extra]
    assert deploying.told({}) == []


@pytest.mark.parametrize(
    "changes", [{"fine_tune_job": None}, {"model_uri": "pvc://a/b"}], ids=["none", "two"]
)
def test_run_must_name_one_model(changes):
    with pytest.raises(plan.InvalidPlan, match="fine_tune_job: give one, or model_uri"):
        deploying.model_of(form(parameters.deploy_model, **changes))


ARTIFACT = {
    "uri": "pvc://work/artifact",
    "digest": f"sha256:{'0' * 64}",
    "sizeBytes": 1,
    "kind": "Model",
    "baseModel": "pvc://work/base",
    "datasetDigest": "",
}
REF = {"fineTuneJobRef": {"name": "units"}}


def test_claim_is_the_one_that_holds_the_model(job, make_condition):
    done = job(conditions=[make_condition("Complete")], artifact=ARTIFACT)
    assert deploying.claim_of({"uri": "pvc://other/model"}, None) == "other"
    assert deploying.claim_of(REF, done) == "work"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "finetunejob/units is not there"),
        ({"phase": "Training"}, "is not complete: Training"),
        ({"conditions": ["Failed"]}, "is not complete: "),
        ({"conditions": ["Complete"], "artifact": ARTIFACT | {"kind": "Adapter"}}, "no whole"),
        ({"conditions": ["Complete"]}, "no whole model"),
    ],
    ids=["absent", "not complete", "failed", "adapter", "no artifact"],
)
def test_job_without_a_model_to_give_is_named(job, make_condition, status, words):
    found = None
    if status is not None:
        conditions = [make_condition(each) for each in status.get("conditions", [])]
        found = job(**status | {"conditions": conditions})
    with pytest.raises(plan.InvalidPlan, match=words):
        deploying.claim_of(REF, found)


def test_jobs_that_have_a_model_are_named_newest_first(job, make_condition):
    def made(day, condition="Complete", kind="Model"):
        found = job(conditions=[make_condition(condition)], artifact=ARTIFACT | {"kind": kind})
        found["metadata"] |= {
            "name": f"job-{day}",
            "creationTimestamp": f"2026-01-0{day}T00:00:00Z",
        }
        return found

    jobs = [made(day) for day in (1, 7, 2, 3, 5, 6)]
    assert deploying.instead("team", [*jobs, made(8, "Failed"), made(9, kind="Adapter")]) == (
        "namespace team has models of job-7, job-6, job-5, job-3, job-2 and 1 more"
    )


@pytest.mark.parametrize(
    ("jobs", "words"),
    [([], "no FineTuneJob of namespace team has a model"), (None, "kubectl get ftj -n team")],
    ids=["none", "too many to list"],
)
def test_how_to_find_a_job_is_said_where_none_is_named(jobs, words):
    assert words in deploying.instead("team", jobs)


def test_record_says_what_is_deployed_and_what_serves_before(job, service, make_condition):
    done = job(conditions=[make_condition("Complete")], artifact=ARTIFACT)
    old = service(spec={"model": {"uri": "pvc://work/old"}, "replicas": 3})
    record = deploying.record(form(parameters.deploy_model), REF, done, old)
    assert (record["uri"], record["digest"]) == (ARTIFACT["uri"], ARTIFACT["digest"])
    assert record["model"] == REF
    assert record["before"] == {"model": {"uri": "pvc://work/old"}}


def test_record_of_an_address_has_no_digest_and_of_a_new_service_nothing_before():
    model = {"uri": "pvc://work/a"}
    record = deploying.record(form(parameters.deploy_model), model, None, None)
    assert (record["uri"], record["digest"], record["before"]) == ("pvc://work/a", "", None)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (
            {"hard": {"pods": "9", "requests.cpu": "4"}, "used": {"pods": "2"}},
            "quota team: pods 2 of 9, requests.cpu 0 of 4",
        ),
        (None, "quota team: no limit yet"),
    ],
    ids=["used", "new"],
)
def test_quota_is_told_in_a_line(status, line):
    assert deploying.quota_lines([{"metadata": {"name": "team"}, "status": status}]) == [line]


EXAMINED = {"scores": {"exact_match": 0.5}, "num_questions": 4, "num_errors": 1}
HALF = [{"metric": "exact_match", "operator": ">=", "threshold": 0.5}]


def test_endpoint_that_answers_is_good_enough_without_gates():
    assert deploying.require_good(EXAMINED, []) == "3 questions answered"
    assert "passed" in deploying.require_good(EXAMINED, HALF)


@pytest.mark.parametrize(
    ("examined", "given", "words"),
    [
        (EXAMINED | {"num_errors": 4}, [], "not one of 4 questions was answered"),
        (EXAMINED, [HALF[0] | {"threshold": 0.6}], "FAILED  exact_match >= 0.6  is 0.5"),
    ],
    ids=["refuses all", "gate"],
)
def test_endpoint_that_is_not_good_says_why(examined, given, words):
    with pytest.raises(deploying.NotGood, match=words):
        deploying.require_good(examined, given)


def pinned(digest):
    return {"uri": "pvc://work/artifact", "artifact": ARTIFACT | {"digest": digest}}


ADDRESS = ARTIFACT["uri"]


@pytest.mark.parametrize(
    ("model", "digest"),
    [(pinned(ARTIFACT["digest"]), ARTIFACT["digest"]), ({"uri": ADDRESS}, "")],
    ids=["of a job", "of an address"],
)
def test_traffic_is_settled_when_the_model_serves_alone(service, model, digest):
    found = service(stable="r1", model=model)
    assert "revision r1" in deploying.require_settled(found, ADDRESS, digest)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"uri": "pvc://work/old"}, "it serves pvc://work/old, not pvc://work/art"),
        (None, "nothing"),
    ],
    ids=["another", "none"],
)
def test_traffic_to_another_address_is_told(service, model, words):
    with pytest.raises(deploying.NotGood, match=words):
        deploying.require_settled(service(stable="r1", model=model), ADDRESS, "")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"stable": "r1", "candidate": "r2"}, "revision r2 is on its way to replace r1"),
        ({"stable": "r1", "model": pinned(f"sha256:{'9' * 64}")}, "it serves sha256:99"),
        ({"stable": "r1"}, "it serves a model without a digest"),
    ],
    ids=["rollout", "another model", "unknown model"],
)
def test_traffic_that_goes_elsewhere_is_told(service, status, words):
    with pytest.raises(deploying.NotGood, match=words):
        deploying.require_settled(service(**status), ADDRESS, ARTIFACT["digest"])
