"""A campaign of ways goes on whatever breaks a walk, and counts only what it could judge."""

from types import SimpleNamespace

import pytest

from fairlead_chaos import campaign, jobways, places, results, soak, transitions, witness
from fairlead_chaos.faults import LoseReply, Plan, Write
from fairlead_chaos.oracle import Ending
from fairlead_chaos.run import PastLost, ProxyError
from fairlead_chaos.soak import Course
from fairlead_chaos.trace import Sent, Trace
from fairlead_operator import kube

WAYS = list(transitions.ways())[:3]
NAMES = {way.name for way in WAYS}
STARVED = f"lease a/b: no answer within {soak.TIMEOUT_SECONDS:.0f} s"


class World:
    """Where each walk has an operator's log, and fails in a way of its own."""

    def __init__(self):
        self.logs, self.fails, self.known = [], None, []

    async def create(self, _):
        pass

    async def until(self, _kind, _name, _holds, what):
        if self.fails == what:
            raise TimeoutError(f"never: {what}")

    async def go(self, batch, scratch):
        self.known.append(dict(scratch))
        if isinstance(self.fails, Exception):
            raise self.fails
        scratch[f"made {len(self.known)}"] = {}
        return {way.name: [] for way in batch}

    async def walked(self, _, scenario):
        """As a cell does it: a story that runs out of time ends its run alone."""
        log, error = self.logs.pop(0) if self.logs else "", ""
        hands = SimpleNamespace(namespace="any", create=self.create, patch=None, until=self.until)
        try:
            await scenario.story(hands)
        except TimeoutError as late:
            error = f"TimeoutError: {late}"
        return Ending(Plan(scenario.name), Trace(), {}, log, error=error)


@pytest.fixture
def world(monkeypatch):
    made = World()
    monkeypatch.setattr(witness, "walked", made.walked)
    monkeypatch.setattr(places, "Walk", lambda *_: made)
    return made


@pytest.fixture
def said():
    return []


@pytest.fixture
def ways(world, said, tmp_path, monkeypatch):
    """Goes three ways of services."""
    monkeypatch.setattr(transitions, "ways", lambda: iter(WAYS))
    monkeypatch.setattr(jobways, "ways", lambda: iter(()))
    course = Course(num_parallel=1, most=100, seed=1, say=said.append, logs=tmp_path)

    async def gone():
        return await soak.ways(None, course)

    return gone


STATUS = Write("patch", "finetunejobs/status", "tune")


def sent(code, answered="relayed", *, apart=False):
    """A trace of one status patch that was answered so."""
    one = Sent(0 if apart else 1, STATUS, code, 1.0, 1, answered=answered)
    return Trace(apart=[one]) if apart else Trace(sent=[one])


GONE = "process 1 ended: 1"
RUNS = [
    pytest.param(Trace(), "", (), False, id="nothing"),
    pytest.param(Trace(), "LeaseLost", (GONE,), True, id="left-without-its-lease"),
    pytest.param(Trace(), "LeaseLost", (), False, id="lost-its-lease-by-plan"),
    pytest.param(Trace(), "ValueError", (GONE,), False, id="crashed"),
    pytest.param(Trace(), STARVED, (), True, id="no-answer"),
    pytest.param(Trace(), "attempt #1/9 failed; will retry: GET x", (), True, id="kopf-retries"),
    pytest.param(sent(409), "", (), False, id="conflict"),
    pytest.param(sent(0), "504", (), False, id="refused-by-plan"),
    pytest.param(sent(429), "", (), True, id="too-many-requests"),
    pytest.param(sent(500), "", (), True, id="etcd-is-late"),
    pytest.param(sent(504, apart=True), "", (), True, id="lease-is-late"),
    pytest.param(sent(200, "lost"), "", (), True, id="answer-is-late"),
    pytest.param(sent(200, "lost"), "ValueError", (GONE,), False, id="crashed-before-the-answer"),
    pytest.param(sent(200, "nothing"), "", (), False, id="killed-by-plan"),
]


@pytest.mark.parametrize(("trace", "log", "crashes", "is_starved"), RUNS)
def test_run_on_a_machine_too_slow_for_it_is_starved(trace, log, crashes, is_starved):
    ending = Ending(Plan("any"), trace, {}, log, crashes=crashes)
    assert soak.is_starved(ending) is is_starved


def test_reply_that_the_plan_loses_starves_no_run():
    plan = Plan("any", (LoseReply(STATUS),))
    assert not soak.is_starved(Ending(plan, sent(200, "lost"), {}, ""))


async def test_run_whose_past_is_forgotten_is_starved_and_another_failure_is_not(monkeypatch):
    async def breaks(*_):
        raise error

    monkeypatch.setattr(witness, "witness", breaks)
    error = PastLost("jobs can't be watched from the past")
    assert soak.is_starved(await soak.witnessed(None, {"any": None}, Plan("any")))
    error = ProxyError("another")
    assert not soak.is_starved(await soak.witnessed(None, {"any": None}, Plan("any")))


async def test_starved_walk_is_made_again_and_its_pictures_are_not_kept(world):
    scratch = {"known": {}}
    world.logs = [STARVED, STARVED]
    outcome = await soak.walked(None, WAYS, scratch)
    assert world.known == [{"known": {}}] * 3
    assert set(scratch) == {"known", "made 3"}
    assert (outcome.num_starved, outcome.judged) == (2, NAMES)
    assert outcome.found == dict.fromkeys(NAMES, [])


async def test_walk_that_starves_each_time_leaves_no_picture(world):
    scratch = {}
    world.logs = [STARVED] * 9
    outcome = await soak.walked(None, WAYS, scratch)
    assert (outcome.num_starved, scratch) == (1 + campaign.MOST_REPEATS, {})


UNTOLD = "no verdict: the walk did not come to its end"
BREAKS = [
    pytest.param(
        ExceptionGroup("of a walk", [kube.Forbidden("POST any: no", 403)]), "POST any: no",
        id="a-call-is-refused",
    ),
    pytest.param(f"{transitions.TRAINED}: Complete", "TimeoutError: never", id="no-preparation"),
]  # fmt: skip


@pytest.mark.parametrize(("fails", "told"), BREAKS)
async def test_each_way_of_a_walk_that_breaks_is_told_to_have_no_verdict(world, fails, told):
    world.fails = fails
    outcome = await soak.walked(None, WAYS, {})
    assert outcome.judged == frozenset()
    together = outcome.found.pop(f"{WAYS[0].name} … {WAYS[-1].name}")
    assert outcome.found == dict.fromkeys(NAMES, [UNTOLD])
    assert told in together[0]


async def test_only_ways_with_a_verdict_are_counted(ways, world):
    body = await ways()
    assert (body["gone"], body["walks"], body["starved"], body["excess"]) == (3, 1, 0, [])
    assert sum(body["by_kind"].values()) == 3
    assert body["findings"] == {}
    world.fails = kube.Unavailable("busy", 503)
    body = await ways()
    assert (body["possible"], body["gone"], body["by_kind"], body["back_from"]) == (3, 0, {}, {})
    assert set(body["findings"]) > NAMES


async def test_starved_walks_are_counted_and_bounded_as_plans_are(ways, world, said):
    world.logs = [STARVED]
    body = await ways()
    (line,) = body["excess"]
    assert line == f"1 of 1 walks starved, at most {results.MOST_STARVED:.0%} may be"
    assert (body["starved"], f"FOUND {line}" in said) == (1, True)
    rights = {"rights": dict.fromkeys(("missing", "needless", "unread"), [])}
    assert soak.is_bad(body | rights)
