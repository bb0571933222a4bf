"""A plan is JSON that a person can write and one command replays."""

import pytest

from fairlead_chaos import faults
from fairlead_chaos.faults import Moment, Plan, PlanError, Told, Write

JOB = Write("create", "jobs", "tune-train-a1")
EVENT = Told("MODIFIED", "jobs", "tune-train-a1", 2)
FAULTS = [
    pytest.param(faults.Kill(JOB, Moment.AFTER_COMMIT), id="kill-at-a-write"),
    pytest.param(faults.Kill(EVENT, Moment.BEFORE_SEND), id="kill-at-an-event"),
    pytest.param(faults.Refuse(JOB, 429, 3, 1), id="refuse"),
    pytest.param(faults.LoseReply(JOB), id="lose-reply"),
    pytest.param(faults.Hold(EVENT, 2.5), id="hold"),
    pytest.param(faults.Drop(EVENT), id="drop"),
    pytest.param(faults.Replay(EVENT, Told("DELETED", "jobs", "tune-train-a1")), id="replay"),
    pytest.param(faults.OldList(("jobs", "pods"), JOB, 1.0, True), id="old-list"),
    pytest.param(faults.Cut(EVENT), id="cut"),
    pytest.param(faults.Stall(EVENT, 3.0), id="stall"),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_plan_is_read_back_as_it_was(fault):
    plan = Plan("complete", (fault, fault))
    assert faults.from_json(plan.to_json()) == plan


UNREADABLE = [
    pytest.param("nonsense", "not a plan", id="not-json"),
    pytest.param("[]", "not a plan", id="not-an-object"),
    pytest.param('{"faults": []}', "'scenario'", id="no-scenario"),
    pytest.param('{"scenario": "a", "faults": [{"do": "Burn"}]}', r"faults\[0\].*Burn", id="verb"),
    pytest.param(
        '{"scenario": "a", "faults": [{"do": "Cut", "at": {"point": "Told", "kind": "x"}}]}',
        r"faults\[0\].*kind",
        id="point-of-unknown-field",
    ),
    pytest.param(
        '{"scenario": "a", "faults": [{"do": "Kill", "moment": "Noon"}]}',
        r"faults\[0\].*Noon",
        id="moment",
    ),
    pytest.param(
        '{"scenario": "a", "faults": [{"do": "Kill", "moment": "AfterCommit", "at":'
        ' {"point": "Told", "type": "ADDED", "resource": "jobs", "name": "x"}}]}',
        r"faults\[0\].*an event is told or not",
        id="commit-of-an-event",
    ),
    pytest.param(
        '{"scenario": "a", "faults": [{"do": "Refuse", "code": 418, "at":'
        ' {"point": "Write", "verb": "create", "resource": "jobs", "name": "x"}}]}',
        r"faults\[0\].*418 is not among",
        id="code",
    ),
]


@pytest.mark.parametrize(("text", "said"), UNREADABLE)
def test_unreadable_plan_is_refused_by_the_place_of_its_fault(text, said):
    with pytest.raises(PlanError, match=said):
        faults.from_json(text)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_two_points_happens_at_the_one_that_it_acts_on(fault):
    later = {faults.Replay: "after", faults.OldList: "as_of"}
    assert faults.point(fault) == getattr(fault, later.get(type(fault), "at"))
