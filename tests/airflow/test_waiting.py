"""What a waiting task makes of what it sees, and how often it speaks."""

import pytest

from fairlead_airflow import waiting
from fairlead_api import outcome


@pytest.fixture
def body(job):
    def make(uid="u-1", generation=3, **status):
        made = job(**status)
        made["metadata"] |= {"uid": uid, "generation": generation}
        return made

    return make


def test_done_is_done(body, make_condition):
    seen = waiting.judge(body(conditions=[make_condition("Complete")]), "u-1", 3)
    assert waiting.event(seen)["result"] == "succeeded"


def test_failure_has_its_reason(body, make_condition):
    failed = make_condition("Failed", "True", "DatasetError", "rows: line 2")
    event = waiting.event(waiting.judge(body(conditions=[failed]), "u-1", 3))
    assert event == {"result": "failed", "reason": "DatasetError", "message": "rows: line 2"}


def test_work_under_way_is_waited_for(body):
    assert waiting.event(waiting.judge(body(phase="Training"), "u-1", 3)) is None


def test_what_an_older_version_was_says_nothing(body, make_condition):
    older = body(generation=2, conditions=[make_condition("Complete")])
    assert waiting.event(waiting.judge(older, "u-1", 3)) is None


@pytest.mark.parametrize("uid", [None, "u-2"], ids=["deleted", "deleted and made again"])
def test_resource_that_went_away_is_told(body, make_condition, uid):
    now = None if uid is None else body(uid=uid, conditions=[make_condition("Complete")])
    event = waiting.event(waiting.judge(now, "u-1", 3))
    assert (event["result"], "deleted" in event["message"]) == ("gone", True)


def test_status_of_another_version_fails_with_its_field(body):
    event = waiting.event(waiting.judge(body(phase=["a", "list"]), "u-1", 3))
    assert (event["reason"], "status.phase" in event["message"]) == ("Unreadable", True)


def test_each_change_is_told_once_and_silence_is_broken(clock):
    said = []
    lines = waiting.Lines("finetunejob/units", lambda text, *more: said.append(text % more), clock)
    for line in ("Preparing", "Preparing", "Training"):
        lines.tell(outcome.Waiting(line))
        lines.repeat()
    clock.now += waiting.REPEAT_SECONDS
    lines.repeat()
    lines.repeat()
    assert said == [
        "finetunejob/units: Preparing",
        "finetunejob/units: Training",
        "finetunejob/units: Training  (300 s waited)",
    ]


READY = outcome.Succeeded("Ready, http://units")
LOST = outcome.Waiting("Degraded  0/1 pods")


def test_success_counts_once_it_has_lasted(clock):
    grace = waiting.Grace(60, clock)
    assert grace.judge(LOST) == LOST
    assert grace.left() == float("inf")
    assert grace.judge(READY) == outcome.Waiting("Ready, http://units; must stay so for 60 s")
    clock.now += 59
    assert isinstance(grace.judge(READY), outcome.Waiting)
    assert grace.left() == 1
    clock.now += 1
    assert grace.judge(READY) == READY


@pytest.mark.parametrize(
    ("seen", "then"),
    [
        (LOST, "Degraded  0/1 pods"),
        (outcome.Failed("Crashed", "exit code 1"), "Crashed: exit code 1"),
    ],
    ids=["not ready", "failed"],
)
def test_success_that_is_lost_is_a_failure(clock, seen, then):
    grace = waiting.Grace(60, clock)
    grace.judge(READY)
    clock.now += 12
    failed = grace.judge(seen)
    assert failed.reason == "UnreadyInGracePeriod"
    assert failed.message == f"it was ready for 12 s of 60 s, then: {then}"


def test_what_is_gone_is_told_as_such(clock):
    grace = waiting.Grace(60, clock)
    grace.judge(READY)
    gone = waiting.Gone("it was deleted")
    assert grace.judge(gone) == gone
    clock.now += 60
    assert grace.judge(READY) == READY


def test_without_a_grace_period_success_counts_at_once(clock):
    grace = waiting.Grace(0, clock)
    assert grace.judge(READY) == READY
    assert grace.judge(LOST) == LOST


def test_silence_says_what_keeps_the_news_away(clock):
    said = []
    lines = waiting.Lines("job/a", lambda text, *values: said.append(text % values), clock)
    clock.now += waiting.REPEAT_SECONDS
    lines.repeat("connection sealed: exec: process returned 3")
    assert said == [
        "job/a: nothing seen  (300 s waited; connection sealed: exec: process returned 3)"
    ]
