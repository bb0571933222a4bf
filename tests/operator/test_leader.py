"""One replica writes at a time, whatever sleeps, dies or is slow."""

import asyncio

import pytest

from fairlead_operator import kube, leader
from fairlead_operator.leader import LEASE_SECONDS, RENEW_SECONDS, VALID_SECONDS, Leader
from fairlead_operator.reconcile import LeaseLost
from fairlead_operator.testing import Fault, MemoryCluster


@pytest.fixture
def cluster():
    return MemoryCluster()


@pytest.fixture
def replica(cluster, clock):
    return lambda name: Leader(cluster, "system", "lease", name, clock)


def holder(cluster):
    (lease,) = cluster.all(kube.LEASE)
    return lease["spec"]["holderIdentity"]


async def test_the_first_replica_gets_the_lease_and_the_second_does_not(cluster, replica):
    one, two = replica("one"), replica("two")
    assert await one.try_once()
    assert not await two.try_once()
    assert holder(cluster) == "one"


@pytest.mark.parametrize(
    ("silent_seconds", "taken"),
    [
        pytest.param(LEASE_SECONDS - 1, False, id="still-valid"),
        pytest.param(LEASE_SECONDS, True, id="run-out"),
    ],
)
async def test_a_silent_holder_is_followed_once_its_lease_ran_out(
    cluster, clock, replica, silent_seconds, taken
):
    one, two = replica("one"), replica("two")
    await one.try_once()
    await two.try_once()
    clock.now += silent_seconds
    assert await two.try_once() is taken
    assert holder(cluster) == ("two" if taken else "one")


async def test_a_takeover_within_twenty_seconds_is_what_the_constants_say():
    assert LEASE_SECONDS + RENEW_SECONDS < 18, "some seconds are left for a busy machine"
    assert VALID_SECONDS + RENEW_SECONDS < LEASE_SECONDS, "old and new holder would overlap"


@pytest.mark.parametrize(
    ("silent_seconds", "pause_seconds"),
    [
        pytest.param(0, RENEW_SECONDS, id="a-sign-of-life-just-seen"),
        pytest.param(LEASE_SECONDS - 0.5, 0.5, id="about-to-run-out"),
        pytest.param(LEASE_SECONDS, RENEW_SECONDS, id="run-out-and-taken-by-another"),
    ],
)
async def test_who_waits_looks_again_when_the_lease_may_run_out(
    cluster, clock, replica, silent_seconds, pause_seconds
):
    one, two = replica("one"), replica("two")
    await one.try_once()
    await two.try_once()
    clock.now += silent_seconds
    cluster.faults.append(Fault("replace", kube.LEASE, kube.Conflict("somebody was faster", 409)))
    assert not await two.try_once()
    assert two.pause_seconds() == pytest.approx(pause_seconds)


async def test_a_leader_renews_at_its_own_pace(cluster, clock, replica):
    one, two = replica("one"), replica("two")
    await one.try_once()
    await two.try_once()
    clock.now += LEASE_SECONDS
    await two.try_once()
    two.elected.set()
    clock.now -= 0.5  # what was seen of the holder before is of no account now
    assert two.pause_seconds() == RENEW_SECONDS


async def test_signs_of_life_are_judged_by_our_own_clock(cluster, clock, replica):
    one, two = replica("one"), replica("two")
    for _ in range(10):
        assert await one.try_once()
        assert not await two.try_once()
        clock.now += LEASE_SECONDS - 1


async def test_an_empty_holder_is_followed_at_once(cluster, replica):
    one, two = replica("one"), replica("two")
    await one.try_once()
    one.elected.set()
    one._renewed_at = one._clock()
    await one.release()
    assert await two.try_once()
    assert holder(cluster) == "two"


async def test_a_last_renewal_that_arrives_late_does_not_keep_the_lease(cluster, replica):
    one, two = replica("one"), replica("two")
    await one.try_once()
    one.elected.set()
    one._renewed_at = one._clock()
    cluster.faults.append(Fault("replace", kube.LEASE, kube.Conflict("it was renewed", 409)))
    await one.release()
    assert await two.try_once()


@pytest.mark.parametrize("verb", ["create", "replace"])
async def test_the_slower_of_two_that_reach_out_gets_nothing(cluster, clock, replica, verb):
    if verb == "replace":
        await replica("old").try_once()
        clock.now += 0
    one = replica("one")
    if verb == "replace":
        await one.try_once()
        clock.now += LEASE_SECONDS
    cluster.faults.append(Fault(verb, kube.LEASE, kube.Conflict("somebody was faster", 409)))
    assert not await one.try_once()


@pytest.mark.parametrize(
    ("asleep_seconds", "may_write"),
    [
        pytest.param(VALID_SECONDS - 1, True, id="awake"),
        pytest.param(VALID_SECONDS, False, id="woken-too-late"),
    ],
)
async def test_a_replica_that_slept_stops_before_it_writes(
    clock, replica, asleep_seconds, may_write
):
    one = replica("one")
    one._renewed_at = clock()
    clock.now += asleep_seconds
    assert one.leads is may_write
    if may_write:
        assert one.check() == LEASE_SECONDS - asleep_seconds, "what is left until others may lead"
    else:
        with pytest.raises(LeaseLost, match="was not renewed within"):
            one.check()


async def test_a_woken_holder_does_not_renew_what_ran_out(cluster, clock, replica):
    one = replica("one")
    await one.try_once()
    one.elected.set()
    one._renewed_at = clock()
    clock.now += VALID_SECONDS + 1
    with pytest.raises(LeaseLost):
        await one.try_once()


async def test_a_holder_that_was_followed_leaves(cluster, clock, replica):
    one, two = replica("one"), replica("two")
    await one.try_once()
    one.elected.set()
    await two.try_once()
    clock.now += LEASE_SECONDS
    await two.try_once()
    with pytest.raises(LeaseLost, match="two holds lease system/lease"):
        await one.try_once()


async def test_holding_survives_a_short_outage_and_ends_after_a_long_one(
    cluster, clock, replica, monkeypatch
):
    monkeypatch.setattr(leader, "RENEW_SECONDS", 0)
    one = replica("one")
    running = asyncio.create_task(one.hold())
    await asyncio.wait_for(one.elected.wait(), 30)
    cluster.faults.append(Fault("get", kube.LEASE, kube.Unavailable("down", 503), times=10**9))
    clock.now += VALID_SECONDS / 2
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    clock.now += VALID_SECONDS
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(running, 30)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(kube.Unavailable("down", 503), "down", id="refused"),
        pytest.param(TimeoutError(), "no answer within 4 s", id="silent"),
    ],
)
async def test_log_says_why_the_lease_was_not_renewed(cluster, replica, caplog, error, said):
    cluster.faults.append(Fault("get", kube.LEASE, error))
    running = asyncio.create_task(replica("one").hold())
    while not caplog.messages:
        await asyncio.sleep(0)
    running.cancel()
    assert caplog.messages == [f"lease system/lease: {said}"]


async def test_only_the_holder_releases(cluster, replica):
    one, two = replica("one"), replica("two")
    await one.try_once()
    await two.release()
    assert holder(cluster) == "one"
