"""What a job's status means to who waits for one of its stages."""

import pytest

from fairlead_airflow import stages, waiting
from fairlead_api import outcome
from fairlead_api.finetunestatus import Stage

DONE = {"name": "Prepare", "state": "Succeeded", "attempt": 1}


@pytest.fixture
def body(job):
    def make(uid="u-1", generation=1, **status):
        made = job(**status)
        made["metadata"] |= {"uid": uid, "generation": generation}
        return made

    return make


def states(**of):
    return [{"name": stage.value, "state": of.get(stage.lower(), "Pending")} for stage in Stage]


@pytest.mark.parametrize(
    ("status", "stage", "kind"),
    [
        ({}, "Prepare", outcome.Waiting),
        ({"stages": states(prepare="Running")}, "Prepare", outcome.Waiting),
        ({"stages": states(prepare="Succeeded")}, "Prepare", outcome.Succeeded),
        ({"stages": states(prepare="Succeeded", train="Running")}, "Train", outcome.Waiting),
        ({"stages": states(prepare="Succeeded", train="Succeeded")}, "Train", outcome.Succeeded),
        ({"stages": states(train="Succeeded", export="Succeeded")}, "Export", outcome.Waiting),
        ({"stages": states(train="Failed")}, "Train", outcome.Waiting),
    ],
    ids=[
        "not seen by the operator",
        "runs",
        "done",
        "a later stage",
        "a later stage is done",
        "the last ends with the job only",
        "failed but perhaps tried again",
    ],
)
def test_stage_is_over_when_it_says_so(body, status, stage, kind):
    assert isinstance(stages.judge(body(**status), "u-1", 1, Stage(stage)), kind)


@pytest.mark.parametrize("stage", list(Stage))
def test_complete_job_has_done_all_its_stages(body, make_condition, stage):
    seen = stages.judge(body(conditions=[make_condition("Complete")]), "u-1", 1, stage)
    assert isinstance(seen, outcome.Succeeded)


@pytest.mark.parametrize(
    ("stage", "result"),
    [(Stage.PREPARE, "succeeded"), (Stage.TRAIN, "failed"), (Stage.EXPORT, "failed")],
)
def test_job_that_failed_leaves_the_stages_before_as_they_were(body, make_condition, stage, result):
    failed = make_condition("Failed", "True", "OutOfMemory", "exit code 137")
    now = body(conditions=[failed], stages=states(prepare="Succeeded", train="Failed"))
    event = waiting.event(stages.judge(now, "u-1", 1, stage))
    assert event["result"] == result
    if result == "failed":
        assert (event["reason"], event["message"]) == ("OutOfMemory", "exit code 137")


@pytest.mark.parametrize("uid", [None, "u-2"], ids=["deleted", "deleted and made again"])
def test_job_that_went_away_ends_the_wait(body, uid):
    now = None if uid is None else body(uid=uid, stages=states(prepare="Succeeded"))
    assert waiting.event(stages.judge(now, "u-1", 1, Stage.PREPARE))["result"] == "gone"


def test_status_of_another_version_fails_with_its_field(body):
    event = waiting.event(stages.judge(body(stages="all"), "u-1", 1, Stage.TRAIN))
    assert (event["reason"], "status.stages" in event["message"]) == ("Unreadable", True)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [(1, "Prepare is done"), (3, "Prepare is done by attempt 3 (1 failed, 1 disrupted)")],
    ids=["at once", "after others"],
)
def test_line_tells_what_it_took(body, attempt, words):
    status = DONE | {"attempt": attempt, "failures": 1, "disruptions": 1}
    assert stages.judge(body(stages=[status]), "u-1", 1, Stage.PREPARE).line == words


def test_result_of_a_stage_is_its_status_and_the_digest_of_what_it_prepared(body):
    now = body(stages=[DONE], preparedDigest="sha256:1")
    assert stages.result(now, Stage.PREPARE)["preparedDigest"] == "sha256:1"
    assert stages.result(now, Stage.PREPARE)["attempt"] == 1
    assert stages.result(now, Stage.TRAIN) == {"name": "Train"}
