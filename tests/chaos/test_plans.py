"""Plans come from what every undisturbed run does."""

from collections import Counter

import pytest

from fairlead_chaos import faults, plans
from fairlead_chaos.faults import Moment, Plan, Told, Write
from fairlead_chaos.trace import Heard, Sent, Trace
from fairlead_operator.cluster import ATTEMPTS

JOB = Write("create", "jobs", "tune-train-a1")
STATUS = [Write("patch", "finetunejobs/status", "tune", nth) for nth in (1, 2, 3)]
LEASE = Write("update", "leases", "operator")
ADDED = Told("ADDED", "jobs", "tune-train-a1")
MODIFIED = [Told("MODIFIED", "jobs", "tune-train-a1", nth) for nth in (1, 2)]
OTHER = Told("ADDED", "pods", "tune-train-a1-0-*")


def trace(writes=(), events=()):
    return Trace(
        sent=[Sent(n, one, 200, 0.1 * n, 1) for n, one in enumerate(writes, 1)],
        heard=[Heard(n, one, str(n), 0.1 * n, 1) for n, one in enumerate(events, 1)],
    )


RUNS = [
    trace([LEASE, STATUS[0], JOB, STATUS[1], STATUS[2]], [ADDED, OTHER, MODIFIED[0], MODIFIED[1]]),
    trace([STATUS[0], LEASE, JOB, STATUS[1]], [ADDED, MODIFIED[0], OTHER]),
]


def made_by(maker):
    return [plan.faults for plan in maker("complete", RUNS)]


def test_every_common_write_is_crashed_at_each_moment():
    assert made_by(plans.crashes) == [
        (faults.Kill(write, moment),) for write in (STATUS[0], JOB, STATUS[1]) for moment in Moment
    ]


def test_heartbeats_are_no_crash_points():
    writes = [fault.at for (fault,) in made_by(plans.crashes)]
    assert LEASE not in writes


def test_write_that_was_repeated_after_a_conflict_is_crashed_once():
    outrun = trace([STATUS[0], JOB, JOB])
    made = list(plans.crashes("complete", [outrun]))
    assert [plan.faults[0].at for plan in made] == [STATUS[0]] * 3 + [JOB] * 3


def test_refusals_last_for_less_and_for_more_than_the_client_tries():
    of_job = [fault for (fault,) in made_by(plans.refusals) if fault.at == JOB]
    refused = [fault for fault in of_job if isinstance(fault, faults.Refuse)]
    assert {(fault.code, fault.times > ATTEMPTS) for fault in refused} == {
        (code, lasts) for code in plans.REFUSALS for lasts in (False, True)
    }
    assert [fault.code for fault in refused if fault.retry_after_seconds] == [429]
    assert [fault for fault in of_job if fault not in refused] == [faults.LoseReply(JOB)]


def test_only_an_event_with_a_successor_is_left_untold():
    assert made_by(plans.unobserved) == [(faults.Drop(ADDED),)]


@pytest.mark.parametrize(("resource", "is_dropped"), [("jobs", False), ("finetunejobs", True)])
def test_end_that_only_its_maker_could_make_up_for_is_told(resource, is_dropped):
    gone, anew = Told("DELETED", resource, "tune"), Told("ADDED", resource, "tune", 2)
    made = list(plans.unobserved("recreated", [trace(events=[gone, anew])]))
    assert made == [Plan("recreated", (faults.Drop(gone),))] * is_dropped


def test_replay_comes_after_the_next_event_of_the_same_object():
    assert made_by(plans.replayed) == [(faults.Replay(ADDED, MODIFIED[0]),)]


def test_old_list_shows_no_later_time_than_the_crash():
    order = [STATUS[0], JOB, STATUS[1]]
    for kill, old in made_by(plans.old_lists):
        assert order.index(old.as_of) <= order.index(kill.at)
    assert {old.audited for _, old in made_by(plans.old_lists)} == {False, True}


@pytest.mark.parametrize("maker", [maker for made in plans.CAMPAIGNS.values() for maker in made])
def test_no_plan_is_made_twice_and_each_survives_json(maker):
    made = list(maker("complete", RUNS))
    assert made
    assert len({plan.to_json() for plan in made}) == len(made)
    assert [faults.from_json(plan.to_json()) for plan in made] == made


def test_draw_is_even_over_scenarios_and_faults_and_the_same_for_a_seed():
    everything = [
        Plan(scenario, made.faults)
        for scenario in ("complete", "retried")
        for made in [*plans.crashes("", RUNS), *plans.refusals("", RUNS)]
    ]
    drawn = plans.drawn(everything, 26, seed=3)
    assert drawn == plans.drawn(everything, 26, seed=3)
    assert Counter(plan.scenario for plan in drawn) == {"complete": 13, "retried": 13}
    assert len({plan.to_json() for plan in drawn}) == 26
    assert len(plans.drawn(everything, 10_000, seed=3)) == len(everything)


def test_a_plan_has_happened_when_each_of_its_faults_has():
    kill, old = next(plans.old_lists("complete", RUNS)).faults
    assert plans.points(Plan("complete", (kill, old))) == Counter([kill.at, old.as_of])
    assert plans.points(Plan("complete", (faults.Replay(ADDED, MODIFIED[0]),))) == Counter(
        [MODIFIED[0]]
    )
