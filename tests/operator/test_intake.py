"""A watch event concerns the right keys and no others."""

import pytest

from fairlead_operator import kube
from fairlead_operator.store import Key

JOB = Key(kube.FINETUNEJOB, "team", "tune")
SERVICE = Key(kube.MODELSERVICE, "team", "serve")


async def queued(world):
    keys = set()
    while len(world.queue):
        keys.add(await world.queue.get())
    return keys


async def test_a_new_resource_is_queued(world, job):
    await world.make(job)
    assert await queued(world) == {JOB}


async def test_a_childs_change_queues_its_parent(world, job):
    await world.make(job)
    await world.drain()
    (made,) = world.cluster.all(kube.CONFIG_MAP)
    world.cluster.edit(made, data={"x": "y"})
    assert await queued(world) == {JOB}


async def test_a_jobs_change_queues_the_services_that_name_it(world, job, service):
    await world.make(service)
    await world.make(job)
    await queued(world)
    (live,) = world.cluster.all(kube.FINETUNEJOB)
    for key in (JOB, SERVICE):
        world.queue.done(key)
    world.cluster.edit(live, status={"phase": "Complete"})
    assert await queued(world) == {JOB, SERVICE}


async def test_the_echo_of_our_own_status_write_queues_nothing(world, job):
    await world.make(job)
    await queued(world)
    world.queue.done(JOB)
    (live,) = world.cluster.all(kube.FINETUNEJOB)
    world.intake.event(kube.FINETUNEJOB, "MODIFIED", live)
    assert await queued(world) == set()


async def test_a_deleted_resource_is_forgotten_and_queued_once(world, job):
    key = await world.make(job)
    await queued(world)
    world.queue.done(JOB)
    live = await world.live(key)
    await world.cluster.delete(kube.FINETUNEJOB, "team", "tune", live["metadata"]["uid"])
    assert world.store.get(kube.FINETUNEJOB, "team", "tune") is None
    assert await queued(world) == {JOB}


@pytest.mark.parametrize(
    ("known", "again"), [pytest.param(True, True, id="known"), pytest.param(False, False, id="new")]
)
async def test_a_listing_of_known_objects_tells_that_deletions_were_missed(
    world, job, known, again
):
    if known:
        await world.make(job)
        (listed,) = world.cluster.all(kube.FINETUNEJOB)
    else:
        listed = job | {"metadata": job["metadata"] | {"uid": "u", "resourceVersion": "1"}}
    world.intake.event(kube.FINETUNEJOB, None, listed)
    assert world.intake.listed_again.is_set() is again


async def test_a_resync_queues_every_resource(world, job, service):
    await world.make(job)
    await world.make(service)
    await queued(world)
    for key in (JOB, SERVICE):
        world.queue.done(key)
    world.intake.resync()
    assert await queued(world) == {JOB, SERVICE}


async def test_a_resync_within_a_time_is_spread_evenly_over_it(world, job, pass_time):
    for number in range(10):
        await world.make(job | {"metadata": {"name": f"tune-{number}", "namespace": "team"}})
    for key in await queued(world):
        world.queue.done(key)
    world.intake.resync_within(600)
    waiting = []
    for _ in range(5):
        await pass_time(120)
        waiting.append(len(world.queue))
    assert waiting == [3, 5, 7, 9, 10]


async def test_a_child_without_our_label_concerns_nobody(world):
    stray = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "team", "uid": "u", "resourceVersion": "1"},
    }
    world.intake.event(kube.CONFIG_MAP, "ADDED", stray)
    assert await queued(world) == set()
