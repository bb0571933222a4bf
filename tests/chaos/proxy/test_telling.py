"""What becomes of watch events, step by step: no stream, no clock."""

import pytest

from fairlead_chaos import faults
from fairlead_chaos.agenda import Agenda
from fairlead_chaos.faults import Kill, Moment, Plan, Told
from fairlead_chaos.streams import Event
from fairlead_chaos.telling import DROPPED_SECONDS, Die, End, Pause, Tell, Telling
from fairlead_chaos.trace import Trace


def made(name, version):
    return Event(f"{name}{version}".encode(), "MODIFIED", "team", name, name, str(version))


def told(name, version):
    return Told("MODIFIED", "jobs", name, version)


class Script:
    """Feeds events to a telling under a plan; lines are named by object and version."""

    def __init__(self, *plan):
        self.trace = Trace()
        self.telling = Telling(Agenda(Plan("x", plan), self.trace))

    def take(self, name, version, now=0.0, scope=""):
        event = made(name, version)
        return self._plain(self.telling.take(event, told(name, version), now, scope))

    def bookmark(self, now=0.0):
        return self._plain(self.telling.take(Event(b"mark", "BOOKMARK"), None, now))

    def due(self, now, scope=""):
        return self._plain(self.telling.due(now, scope))

    @staticmethod
    def _plain(steps):
        return [step.line.decode() if isinstance(step, Tell) else type(step) for step in steps]


def test_undisturbed_events_are_told():
    script = Script()
    assert [*script.take("a", 1), *script.bookmark(), *script.take("a", 2)] == ["a1", "mark", "a2"]


def test_held_object_waits_with_all_that_follows_and_others_go_by():
    script = Script(faults.Hold(told("a", 1), 5.0))
    assert script.take("a", 1, now=10.0) == []
    assert script.take("b", 1, now=11.0) == ["b1"]
    assert script.take("a", 2, now=12.0) == []
    assert script.bookmark(now=12.0) == []  # it would say that a1 was told
    assert script.telling.next_due() == 15.0
    assert script.due(14.9) == []
    assert script.due(15.0) == ["a1", "a2"]
    assert script.telling.next_due() is None
    assert [*script.bookmark(16.0), *script.take("a", 3, now=16.0)] == ["mark", "a3"]
    assert script.trace.reached == [told("a", 1)]


def test_held_events_come_before_the_next_one_where_that_is_late():
    script = Script(faults.Hold(told("a", 1), 5.0))
    script.take("a", 1, now=0.0)
    assert script.take("a", 2, now=9.0) == ["a1", "a2"]


def test_held_event_that_a_new_stream_tells_again_is_told_once():
    script = Script(faults.Hold(told("a", 1), 5.0))
    for version in (1, 2, 1, 2, 3):
        assert script.take("a", version, now=1.0) == []
    assert script.due(6.0) == ["a1", "a2", "a3"]


def test_held_events_are_told_on_a_stream_of_their_namespace():
    script = Script(faults.Hold(told("a", 1), 5.0))
    script.take("a", 1, scope="team")
    assert script.due(9.0, scope="other") == []
    assert script.due(9.0, scope="team") == ["a1"]


def test_dropped_event_is_never_told_even_when_a_new_stream_tells_it_again():
    script = Script(faults.Drop(told("a", 1)))
    assert [*script.take("a", 1), *script.take("a", 1), *script.take("a", 2)] == ["a2"]
    assert script.trace.reached == [told("a", 1)]


def test_dropped_event_that_no_other_follows_is_told_late():
    script = Script(faults.Drop(told("a", 1)))
    assert [*script.take("a", 1, now=1.0), *script.take("b", 1, now=2.0)] == ["b1"]
    late = 1.0 + DROPPED_SECONDS
    assert script.due(late - 0.1) == []
    assert script.due(late) == ["a1"]
    assert script.take("a", 2, now=late + 1.0) == ["a2"]
    assert script.trace.reached == [], "it was late, not untold"


def test_kill_at_the_event_after_a_dropped_one_is_not_lost():
    script = Script(faults.Drop(told("a", 1)), Kill(told("a", 2), Moment.BEFORE_SEND))
    assert [*script.take("a", 1), *script.take("a", 2)] == [Die]


def test_replayed_event_comes_right_after_the_later_one():
    script = Script(faults.Replay(told("a", 1), told("a", 2)))
    assert [step for version in (1, 2, 3) for step in script.take("a", version)] == [
        "a1", "a2", "a1", "a3",
    ]  # fmt: skip
    assert script.trace.reached == [told("a", 2)]


STEPS = [
    pytest.param(Kill(told("a", 1), Moment.BEFORE_SEND), [Die], id="kill-before"),
    pytest.param(Kill(told("a", 1), Moment.AFTER_REPLY), ["a1", Die], id="kill-after"),
    pytest.param(faults.Cut(told("a", 1)), [End], id="cut"),
    pytest.param(faults.Stall(told("a", 1), 4.0), [Pause, "a1"], id="stall"),
]


@pytest.mark.parametrize(("fault", "steps"), STEPS)
def test_fault_happens_once_at_its_event(fault, steps):
    script = Script(fault)
    assert script.take("b", 1) == ["b1"]
    assert script.take("a", 1, now=3.0) == steps
    assert script.take("a", 1, now=9.0) == ["a1"]
    assert script.trace.reached == [fault.at]
    assert script.telling.stalled_until == (7.0 if Pause in steps else 0.0)


def test_refusal_meets_as_many_requests_in_turn_as_it_says():
    trace = Trace()
    write = faults.Write("patch", "jobs", "a", 2)
    agenda = Agenda(Plan("x", (faults.Refuse(write, 429, 2),)), trace)
    met = [agenda.refusal(faults.Write("patch", "jobs", "a", nth)) for nth in range(1, 6)]
    assert [fault is not None for fault in met] == [False, True, True, False, False]
    assert agenda.refusal(faults.Write("patch", "jobs/status", "a", 2)) is None
    assert trace.reached == [write]
