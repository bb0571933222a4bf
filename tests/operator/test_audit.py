"""What the watches did not tell is found out."""

import asyncio

import pytest

from fairlead_operator import kube
from fairlead_operator.audit import Audit, WatchDead
from fairlead_operator.testing import Fault


@pytest.fixture
def audit(world):
    return Audit(world.cluster, world.store, world.intake, grace_seconds=0.05)


async def test_a_level_cache_passes(world, audit, job):
    await world.make(job)
    await world.drain()
    await audit.run()
    assert world.cluster.writes() != []


async def test_a_child_that_went_untold_is_forgotten_and_its_parent_queued(world, audit, job):
    key = await world.make(job)
    await world.drain()
    (made,) = world.cluster.all(kube.CONFIG_MAP)
    world.cluster.deafen()
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", made["metadata"]["uid"])
    await audit.run()
    assert world.store.get(kube.CONFIG_MAP, "team", "tune-run") is None
    assert await world.queue.get() == key


async def test_an_object_that_no_watch_told_of_ends_the_process(world, audit, job):
    world.cluster.deafen()
    await world.make(job)
    with pytest.raises(WatchDead, match="no watch told of FineTuneJob team/tune"):
        await audit.run()


async def test_a_change_that_no_watch_told_of_ends_the_process(world, audit, job):
    key = await world.make(job)
    world.cluster.deafen()
    world.cluster.edit(await world.live(key), status={"phase": "Changed"})
    with pytest.raises(WatchDead):
        await audit.run()


async def test_an_object_that_can_not_be_kept_is_not_waited_for_until_it_changes(world, audit, job):
    key = await world.make(job)
    world.cluster.deafen()
    changed = world.cluster.edit(await world.live(key), status={"phase": "Changed"})
    world.intake.pass_over(kube.FINETUNEJOB, changed)
    await audit.run()
    assert world.store.version(key.kind, key.namespace, key.name) < kube.version(changed)
    world.cluster.edit(changed, status={"phase": "Again"})
    with pytest.raises(WatchDead, match="no watch told of FineTuneJob team/tune"):
        await audit.run()


async def test_a_watch_that_is_only_slow_is_waited_for(world, job):
    audit = Audit(world.cluster, world.store, world.intake, grace_seconds=60)
    world.cluster.deafen()
    await world.make(job)
    (live,) = world.cluster.all(kube.FINETUNEJOB)
    running = asyncio.create_task(audit.run())
    await asyncio.sleep(0)
    assert not running.done()
    world.intake.event(kube.FINETUNEJOB, "ADDED", live)
    await asyncio.wait_for(running, 30)


async def test_a_watch_that_still_tells_is_waited_for_however_long_it_takes(world, job, pass_time):
    audit = Audit(world.cluster, world.store, world.intake, grace_seconds=60)
    world.cluster.deafen()
    for number in range(5):
        await world.make(job | {"metadata": {"name": f"tune-{number}", "namespace": "team"}})
    running = asyncio.create_task(audit.run())
    for live in world.cluster.all(kube.FINETUNEJOB):
        await pass_time(50)
        assert not running.done()
        world.intake.event(kube.FINETUNEJOB, None, live)
        await pass_time(5)
    await asyncio.wait_for(running, 30)


async def test_a_watch_that_stops_halfway_ends_the_process(world, job, pass_time):
    audit = Audit(world.cluster, world.store, world.intake, grace_seconds=60)
    world.cluster.deafen()
    for number in range(5):
        await world.make(job | {"metadata": {"name": f"tune-{number}", "namespace": "team"}})
    running = asyncio.create_task(audit.run())
    await pass_time(50)
    world.intake.event(kube.FINETUNEJOB, None, world.cluster.all(kube.FINETUNEJOB)[0])
    await pass_time(50)
    assert not running.done()
    await pass_time(50)
    await pass_time(5)
    with pytest.raises(WatchDead, match="team/tune-1 .* nor of others within 60 s"):
        await asyncio.wait_for(running, 30)


async def test_an_object_that_went_while_it_was_waited_for_is_no_reason_to_leave(world, audit, job):
    world.cluster.deafen()
    key = await world.make(job)
    live = await world.live(key)
    listed = world.cluster.list_heads

    async def list_then_delete(kind, namespace=None):
        heads = await listed(kind, namespace)
        if kind == kube.FINETUNEJOB:
            await world.cluster.delete(kind, "team", "tune", live["metadata"]["uid"])
        return heads

    world.cluster.list_heads = list_then_delete
    await audit.run()
    assert ("list", kube.FINETUNEJOB, "") in world.cluster.calls
    assert world.cluster.all(kube.FINETUNEJOB) == []


async def test_an_optional_kind_that_is_absent_is_passed_over(world, audit):
    world.cluster.absent.add(kube.HTTP_ROUTE)
    await audit.run()
    assert ("list", kube.HTTP_ROUTE, "") not in world.cluster.calls


async def test_only_the_namespaces_served_are_listed(world, audit, job):
    world.cluster.deafen()
    await world.make(job | {"metadata": {"name": "far", "namespace": "elsewhere"}})
    await Audit(world.cluster, world.store, world.intake, ("team",), grace_seconds=0.05).run()
    with pytest.raises(WatchDead, match="elsewhere/far"):
        await audit.run()  # of one that serves them all


async def test_a_listing_anew_brings_the_audit_forward_and_queues_everything(world, audit, job):
    key = await world.make(job)
    await world.drain()
    world.intake.listed_again.set()
    running = asyncio.create_task(audit.forever(period_seconds=0.01))
    assert await asyncio.wait_for(world.queue.get(), 30) == key
    running.cancel()
    assert not world.intake.listed_again.is_set()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(kube.Unavailable("busy", 503), id="unavailable"),
        pytest.param(kube.Unauthorized("the token was rotated", 401), id="unauthorized"),
        pytest.param(kube.Forbidden("the webhook is down", 403), id="forbidden"),
        pytest.param(kube.NotFound("the CRD is being replaced", 404), id="not-found"),
        pytest.param(kube.Expired("the token is too old", 410), id="expired"),
    ],
)
async def test_an_audit_that_was_refused_is_made_again(world, audit, job, error):
    key = await world.make(job)
    await world.drain()
    world.cluster.faults.append(Fault("list", kube.FINETUNEJOB, error))
    running = asyncio.create_task(audit.forever(period_seconds=0.01))
    assert await asyncio.wait_for(world.queue.get(), 30) == key
    assert world.cluster.faults[0].times == 0
    running.cancel()


async def test_a_dead_watch_ends_the_audit_for_good(world, audit, job):
    world.cluster.deafen()
    await world.make(job)
    with pytest.raises(WatchDead):
        await asyncio.wait_for(audit.forever(period_seconds=0.01), 30)


async def test_an_optional_kind_that_goes_after_it_was_asked_for_is_passed_over(world, audit):
    gone = kube.NotFound("the server has no httproutes", 404)
    world.cluster.faults.append(Fault("list", kube.HTTP_ROUTE, gone))
    await audit.run()
    assert world.cluster.faults[0].times == 0, "it was asked for"


async def test_a_kind_of_ours_that_is_gone_ends_the_first_audit(world, audit):
    world.cluster.absent.add(kube.FINETUNEJOB)
    with pytest.raises(kube.NotFound):
        await audit.run()
