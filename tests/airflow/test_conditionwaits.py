"""What a version of a resource means to who waits for one of its conditions."""

import pytest

from fairlead_airflow import conditionwaits, waiting
from fairlead_airflow.fields import InvalidField
from fairlead_api import names


def result(body, condition, status="True"):
    event = waiting.event(conditionwaits.judge(body, condition, status))
    return (event["result"], event["reason"]) if event else None


@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [
        ("True", "True", ("succeeded", "")),
        ("True", "False", None),
        ("False", "False", ("succeeded", "")),
        ("Unknown", "True", None),
    ],
)
def test_condition_is_reached_when_it_is_as_it_should_be(
    service, make_condition, status, told, expected
):
    body = service(conditions=[make_condition("Ready", told)])
    assert result(body, "Ready", status) == expected


def test_resource_that_is_not_there_is_waited_for():
    assert result(None, "Ready") is None


def test_condition_that_is_not_told_is_waited_for(job):
    assert result(job(phase="Pending"), "Trained") is None


def test_condition_of_a_version_before_says_nothing(service, make_condition):
    body = service(generation=2, conditions=[make_condition("Ready")])
    assert result(body, "Ready") is None


@pytest.mark.parametrize("condition", ["Trained", "Complete"])
def test_failed_job_fails_who_waits_with_its_reason(job, make_condition, condition):
    failed = make_condition("Failed", "True", "DatasetError", "rows: line 2")
    assert result(job(conditions=[failed]), condition) == ("failed", "DatasetError")


def test_failure_itself_may_be_waited_for(job, make_condition):
    failed = make_condition("Failed", "True", "DatasetError")
    assert result(job(conditions=[failed]), "Failed") == ("succeeded", "")


def test_stage_that_was_reached_stays_so_though_the_job_failed_later(job, make_condition):
    both = [make_condition("Trained"), make_condition("Failed", "True", "Crashed")]
    assert result(job(conditions=both), "Trained") == ("succeeded", "")


def test_service_that_no_waiting_mends_fails_who_waits(service, make_condition):
    body = service(conditions=[make_condition("Ready", "False", "FineTuneJobFailed", "units")])
    assert result(body, "Ready") == ("failed", "FineTuneJobFailed")


def test_status_of_another_version_fails_with_its_field(job):
    seen = conditionwaits.judge(job(phase=["a"]), "Trained", "True")
    assert (seen.reason, "status.phase" in seen.message) == ("Unreadable", True)


def test_line_says_what_is_waited_for(service, make_condition):
    body = service(conditions=[make_condition("Ready", "False", "NoReplicasReady")])
    seen = conditionwaits.judge(body, "Ready", "True")
    assert seen.line == "Ready is False (NoReplicasReady), must be True"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("Pod", "Ready", "True"), "^kind: must be one of FineTuneJob, ModelService, it is 'Pod'"),
        ((names.FINETUNEJOB, "Ready", "True"), "^condition: a FineTuneJob has Admitted.*'Ready'$"),
        ((names.MODELSERVICE, "Ready", "yes"), "^status: must be one of True, False, Unknown"),
    ],
    ids=["kind", "condition", "status"],
)
def test_what_would_never_come_is_refused(given, message):
    with pytest.raises(InvalidField, match=message):
        conditionwaits.check(*given)
    conditionwaits.check(names.MODELSERVICE, "ReconcileError", "False")
