"""A campaign counts what happened, what did not, and what was found."""

import asyncio
import dataclasses
import json

import pytest

from fairlead_chaos import campaign, faults, plans, results
from fairlead_chaos.campaign import Campaign, Oracle
from fairlead_chaos.faults import Moment, Plan, Write
from fairlead_chaos.findings import Finding, Wrong
from fairlead_chaos.results import Judged, Tally
from fairlead_chaos.trace import Sent, Trace

WRITES = [Write("create", "jobs", "tune"), Write("patch", "finetunejobs/status", "tune")]
NEVER = Write("delete", "jobs", "other")
ODD = Finding(Wrong.ORPHAN, "Job/tune")
TRIES = 1 + campaign.MOST_REPEATS


class Runs:
    """Stands for the cells: runs that take a moment, of which some go wrong."""

    def __init__(self):
        self.now, self.most, self.num_told = 0, 0, 0
        self.kept = []
        self.starved = 0
        self.misses = 0

    async def witness(self, plan):
        self.now += 1
        self.most = max(self.most, self.now)
        self.num_told += 1
        await asyncio.sleep(0)
        self.now -= 1
        self.misses -= bool(plan.faults)
        is_missed = bool(plan.faults) and self.misses >= 0
        reached = [fault.at for fault in plan.faults if fault.at != NEVER and not is_missed]
        sent = [Sent(n, one, 200, 0.0, 1) for n, one in enumerate(WRITES, 1)]
        return plan, Trace(sent=sent, reached=reached)

    def is_starved(self, seen):
        self.starved -= 1
        return self.starved >= 0

    def judge(self, reference, seen):
        """A run that was starved is odd, too."""
        assert reference == f"of {seen[0].scenario}"
        bad = [f for f in seen[0].faults if getattr(f, "moment", None) is Moment.AFTER_COMMIT]
        return [ODD] if bad or self.starved >= 0 else []


@pytest.fixture
def runs():
    return Runs()


@pytest.fixture
def said():
    return []


@pytest.fixture
def made(runs, said):
    oracle = Oracle(
        witness=runs.witness,
        trace=lambda seen: seen[1],
        learn=lambda name, seen: f"of {name}",
        judge=runs.judge,
        agree=lambda reference: [ODD] if "odd" in reference else [],
        keep=lambda seen: runs.kept.append(seen[0]),
        is_starved=runs.is_starved,
    )
    return Campaign(oracle, num_parallel=3, say=said.append)


async def test_findings_are_counted_with_the_plan_that_brought_them(made, said, runs):
    assert await made.learn(["complete"]) == []
    chosen = made.plans([plans.crashes])
    tally = await made.run(chosen)
    assert tally.planned == len(chosen) == 6
    assert tally.happened["complete"] == 6
    assert {judged.plan for judged in tally.failed} == {
        Plan("complete", (faults.Kill(write, Moment.AFTER_COMMIT),)) for write in WRITES
    }
    assert runs.kept == [judged.plan for judged in tally.failed]
    for judged in tally.failed:
        assert any(judged.plan.to_json() in line and "Orphan" in line for line in said)


async def test_plan_whose_point_does_not_come_is_missed_and_not_counted(made):
    await made.learn(["complete"])
    tally = await made.run([Plan("complete", (faults.Kill(NEVER, Moment.BEFORE_SEND),))])
    assert (tally.happened.total(), tally.missed["complete"]) == (0, 1)
    (judged,) = tally.judged
    assert (judged.outcome, judged.num_unreached) == ("missed", 2 * TRIES)


async def test_plan_whose_point_comes_late_is_carried_out_until_it_does(made, runs):
    await made.learn(["complete"])
    runs.misses = 2
    tally = await made.run([Plan("complete", (faults.Kill(WRITES[0], Moment.BEFORE_SEND),))])
    assert (tally.happened.total(), tally.missed.total(), tally.unreached) == (1, 0, 1)
    (judged,) = tally.judged
    assert (judged.outcome, judged.num_unreached) == ("well", 2)


async def test_runs_are_side_by_side_but_not_too_many(made, runs):
    await made.learn(["complete", "retried"])
    await made.run(made.plans([plans.crashes]))
    assert runs.most == 3


async def test_undisturbed_runs_that_differ_are_told(made):
    (judged,) = await made.learn(["odd", "complete"])
    assert (judged.plan, judged.findings) == (Plan("odd"), (ODD,))


async def test_undisturbed_run_that_was_always_starved_is_told_again_after_the_others(made, runs):
    runs.starved = TRIES
    await made.learn(["complete"], num_references=1)
    assert (runs.num_told, len(made.traces["complete"])) == (TRIES + 1, 1)


STARVED = [
    pytest.param(0, 0, "well", id="never"),
    pytest.param(2, 2, "well", id="at-first"),
    pytest.param(TRIES, TRIES, "well", id="beside-the-others"),
    pytest.param(99, 2 * TRIES, "found", id="always"),
]


@pytest.mark.parametrize(("starved", "counted", "outcome"), STARVED)
async def test_run_on_a_starved_machine_is_made_again_a_few_times(
    made, runs, starved, counted, outcome
):
    await made.learn(["complete"])
    runs.starved = starved
    tally = await made.run(made.plans([plans.crashes])[:1])
    (judged,) = tally.judged
    assert (judged.is_reached, judged.num_starved) == (True, counted)
    assert judged.outcome == outcome
    assert tally.starved == bool(counted)


def tallied(*judged):
    return Tally(planned=len(judged), judged=list(judged))


KILL = Plan("complete", (faults.Kill(WRITES[0], Moment.AFTER_REPLY),))
LOST = Plan("complete", (faults.LoseReply(WRITES[0]),))
OTHER = Plan("retried", (faults.LoseReply(WRITES[1]), faults.Kill(NEVER, Moment.AFTER_REPLY)))


def test_only_plans_that_happened_are_counted_by_what_they_do():
    body = tallied(
        Judged(KILL, (), True), Judged(LOST, (), True), Judged(OTHER, (ODD,), False)
    ).as_object()
    assert body["faults"] == {"Kill": 1, "LoseReply": 1}
    assert (body["scenarios"], body["happened"], body["missed"]) == (1, 2, 1)
    assert [found["is_reached"] for found in body["findings"]] == [False]


def test_every_plan_is_kept_with_its_outcome_ready_for_replay(tmp_path):
    judged = [
        Judged(OTHER, (), False, num_unreached=4),
        Judged(LOST, (ODD,), True),
        Judged(KILL, (), True, num_starved=1),
    ]
    path = tmp_path / "testing" / "crash.plans.jsonl"
    results.write_plans(path, tallied(*judged))
    lines = path.read_text().splitlines()
    assert list(map(faults.from_json, lines)) == [KILL, LOST, OTHER]
    kept = [json.loads(line) for line in lines]
    assert [one["outcome"] for one in kept] == ["well", "found", "missed"]
    assert [(one.get("starved"), one.get("unreached")) for one in kept] == [
        (1, None),
        (None, None),
        (None, 4),
    ]
    results.write_plans(path, tallied(*reversed(judged)))
    assert path.read_text().splitlines() == lines


BOUNDS = [
    pytest.param({"num_starved": 2}, results.MOST_STARVED, "starved", id="starved"),
    pytest.param({"num_unreached": 2}, results.MOST_UNREACHED, "unreached", id="unreached"),
    pytest.param({"is_reached": False}, results.MOST_MISSED, "missed", id="missed"),
]


@pytest.mark.parametrize(("change", "most", "told"), BOUNDS)
def test_too_many_of_a_kind_are_told(change, most, told):
    well, num_allowed = Judged(KILL, (), True), int(most * 100)
    repeated = dataclasses.replace(well, **change)
    assert tallied(*[repeated] * num_allowed, *[well] * (100 - num_allowed)).excess == []
    too_many = tallied(*[repeated] * (num_allowed + 1), *[well] * (99 - num_allowed))
    assert too_many.as_object()["excess"] == [
        f"{num_allowed + 1} of 100 plans {told}, at most {num_allowed}% may be"
    ]


TWICE = (faults.Kill(WRITES[0], Moment.AFTER_REPLY), faults.Kill(WRITES[1], Moment.AFTER_REPLY))
REACHED = [
    pytest.param((), [], True, id="no-fault"),
    pytest.param(TWICE, WRITES, True, id="both"),
    pytest.param(TWICE, WRITES[:1], False, id="one-of-two"),
    pytest.param((TWICE[0], TWICE[0]), WRITES[:1], False, id="once-instead-of-twice"),
]


@pytest.mark.parametrize(("chosen", "reached", "verdict"), REACHED)
def test_plan_happened_when_each_of_its_points_came(chosen, reached, verdict):
    assert campaign.is_reached(Plan("complete", chosen), Trace(reached=reached)) is verdict
