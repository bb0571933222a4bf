"""Watch events: what the informer is told under each fault."""

import pytest

from fairlead_chaos import faults
from fairlead_chaos.faults import Kill, Moment, Told, Write

pytestmark = pytest.mark.cluster
ADDED = ("ADDED", "made", "0")
OTHER = ("MODIFIED", "other", "1")


def edits(*numbers):
    return [("MODIFIED", "made", str(number)) for number in numbers]


def told(type_, name, nth=1):
    return Told(type_, "configmaps", name, nth)


FIRST_EDIT = told("MODIFIED", "made")
BLINDED = [
    pytest.param([], [ADDED, *edits(1, 2), OTHER, *edits(3)], id="undisturbed"),
    pytest.param([faults.Hold(FIRST_EDIT, 15.0)], [ADDED, OTHER, *edits(1, 2, 3)], id="hold"),
    pytest.param([faults.Drop(FIRST_EDIT)], [ADDED, *edits(2), OTHER, *edits(3)], id="drop"),
    pytest.param(
        [faults.Replay(FIRST_EDIT, told("MODIFIED", "made", 2))],
        [ADDED, *edits(1, 2, 1), OTHER, *edits(3)],
        id="replay",
    ),
    pytest.param([faults.Cut(FIRST_EDIT)], [ADDED, *edits(1, 2), OTHER, *edits(3)], id="cut"),
    pytest.param(
        [faults.Stall(FIRST_EDIT, 1.5)], [ADDED, *edits(1, 2), OTHER, *edits(3)], id="stall"
    ),
]


@pytest.mark.parametrize(("plan", "expected"), BLINDED)
async def test_what_the_informer_is_told(chaos, direct, plan, expected):
    await direct.create("other", n="0")
    one = await chaos(*plan)
    informer = await one.informer()
    await direct.create("made", n="0")
    await informer.until(*ADDED)
    for caller_name, n in (("made", "1"), ("made", "2"), ("other", "1"), ("made", "3")):
        await direct.edit(caller_name, n=n)
    await informer.until("MODIFIED", "made", "3")
    assert informer.told == expected
    assert informer.listed == {"other": {"n": "0"}}
    assert one.trace.reached == [faults.point(fault) for fault in plan]
    assert informer.num_streams == (2 if isinstance((plan or [None])[0], faults.Cut) else 1)
    late = [fault.seconds for fault in plan if isinstance(fault, faults.Hold | faults.Stall)]
    waited = informer.times[-1] - informer.times[0]
    assert not late or waited >= late[0]


async def test_event_told_anew_by_a_later_stream_keeps_its_number(chaos, direct):
    one = await chaos(faults.Cut(told("ADDED", "made")))
    informer = await one.informer()
    await direct.create("made", n="0")
    await informer.until(*ADDED)
    assert [entry.told for entry in one.trace.heard] == [told("ADDED", "made")] * 2
    assert [entry.number for entry in one.trace.heard] == [1, 2]


@pytest.mark.parametrize(
    ("moment", "is_told"),
    [
        pytest.param(Moment.BEFORE_SEND, False, id="before"),
        pytest.param(Moment.AFTER_REPLY, True, id="after"),
    ],
)
async def test_kill_around_an_event(chaos, direct, until, moment, is_told):
    one = await chaos(Kill(told("ADDED", "made"), moment))
    informer = await one.informer()
    await direct.create("before", n="0")
    await direct.create("made", n="0")
    await direct.create("after", n="0")
    await until(lambda: one.num_kills, "killed")
    # What was flushed may still be read by the test's client, which no signal ends.
    assert ("after" in [name for _, name, _ in informer.told]) is False
    assert (ADDED in informer.told) <= is_told
    assert one.trace.heard[-1].told == told("ADDED", "made")
    await one.restart()
    again = await one.informer()
    assert set(again.listed) == {"before", "made", "after"}


async def test_restart_ends_what_was_held(chaos, direct, gone):
    last = Write("create", "configmaps", "last")
    one = await chaos(faults.Hold(told("ADDED", "made"), 3600), Kill(last, Moment.BEFORE_SEND))
    informer = await one.informer()
    await direct.create("made", n="0")
    await direct.create("other", n="0")
    await informer.until("ADDED", "other", "0")
    with gone():
        await one.caller.create("last")
    await one.restart()
    again = await one.informer()
    await direct.edit("made", n="1")
    await again.until("MODIFIED", "made", "1")
    assert again.told == edits(1)
    assert informer.told == [("ADDED", "other", "0")]


async def test_proxy_rests_once_the_living_operator_watches_and_was_told_all(chaos, direct, until):
    last = Write("create", "configmaps", "last")
    one = await chaos(faults.Hold(told("ADDED", "made"), 1.0), Kill(last, Moment.AFTER_REPLY))
    assert not one.proxy.rests
    informer = await one.informer()
    await until(lambda: one.proxy.rests, "it watches")
    await direct.create("made", n="0")
    await until(lambda: one.trace.heard, "the event has come")
    assert not one.proxy.rests
    await informer.until(*ADDED)
    assert one.proxy.rests
    one.may_die.clear()
    await one.caller.create("last")
    assert not one.proxy.rests
    one.may_die.set()
    await one.restart()
    assert not one.proxy.rests
    await one.informer()
    await until(lambda: one.proxy.rests, "the next one watches")
    assert one.trace.watched == [(1, "configmaps"), (2, "configmaps")]
