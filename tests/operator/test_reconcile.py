"""Observe, plan, apply: what happens when each of them goes well, late or wrong."""

import asyncio
import dataclasses
import logging

import pytest

from fairlead_api import conditions
from fairlead_api.base import Condition
from fairlead_api.finetunejob import FineTuneJob
from fairlead_operator import kube
from fairlead_operator.plan import Apply, CreateOnce, Plan, Seen
from fairlead_operator.reconcile import LeaseLost, Outcome
from fairlead_operator.testing import Fault


def conditions_of(live):
    found = (live.get("status") or {}).get("conditions") or []
    return {c["type"]: c for c in found}


async def test_a_resource_comes_to_rest_with_its_child_and_status(world, job):
    key = await world.make(job)
    await world.drain()
    assert (await world.live(key))["status"]["phase"] == "Made"
    assert len(world.cluster.all(kube.CONFIG_MAP)) == 1


async def test_a_resource_at_rest_is_never_written_again(world, job):
    await world.make(job)
    await world.drain()
    world.cluster.calls.clear()
    for _ in range(3):
        world.intake.resync()
        await world.drain()
    assert world.cluster.writes() == []


async def test_status_facts_are_written_before_the_acts_they_license(world, job):
    await world.make(job)
    await world.drain()
    assert world.cluster.writes()[:2] == [
        ("apply", "FineTuneJob", "tune"),
        ("create", "ConfigMap", "tune-run"),
    ]


async def test_an_act_is_not_done_when_its_license_was_refused(world, job):
    await world.make(job)
    stale = kube.Conflict("stale", 409)
    world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, stale))
    key = await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.STALE
    assert world.cluster.all(kube.CONFIG_MAP) == []


async def test_a_decision_on_a_stale_status_is_refused_and_made_again(world, job):
    key = await world.make(job)
    world.cluster.deafen()
    held = await world.live(key)
    world.cluster.edit(held, status={"phase": "Newer", "observedGeneration": 1})
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.STALE
    assert (await world.live(key))["status"]["phase"] == "Newer", "a stale status won"
    assert await world.reconciler.attempt(key) is Outcome.DONE


async def test_progress_of_the_other_manager_is_kept_and_makes_no_write(world, job):
    key = await world.make(job)
    await world.drain()
    report = job | {"status": {"progress": {"step": 7}}}
    await world.cluster.apply(report, subresource="status", manager="fairlead-progress")
    world.cluster.calls.clear()
    await world.drain()
    assert world.cluster.writes() == []
    world.plan = lambda *_: Plan(status={"phase": "Next"})
    world.intake.resync()
    await world.drain()
    status = (await world.live(key))["status"]
    assert status == {"phase": "Next", "conditions": [], "progress": {"step": 7}}


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "reply-lost"])
@pytest.mark.parametrize("verb", ["apply", "create"])
async def test_an_unavailable_api_server_only_delays(world, job, verb, after):
    key = await world.make(job)
    kind = kube.FINETUNEJOB if verb == "apply" else kube.CONFIG_MAP
    world.cluster.faults.append(Fault(verb, kind, kube.Unavailable("busy", 503), after=after))
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.UNAVAILABLE
    assert await world.reconciler.attempt(key) is Outcome.DONE
    world.queue.done(key)
    await world.drain()
    live = await world.live(key)
    assert "ReconcileError" not in conditions_of(live)
    assert [c["metadata"]["name"] for c in world.cluster.all(kube.CONFIG_MAP)] == ["tune-run"]


def broken(*_):
    raise RuntimeError("no such thing")


def foreign_child(child):
    return lambda job, *_: Plan(acts=(CreateOnce(child(job, suffix="taken")),))


@pytest.mark.parametrize(
    ("fault", "reason", "message"),
    [
        pytest.param(broken, "Exception", "RuntimeError: no such thing", id="our-own-bug"),
        pytest.param(
            kube.Forbidden("create pods: 403: exceeded quota: gpus", 403),
            "Refused",
            "exceeded quota: gpus",
            id="quota",
        ),
        pytest.param(kube.Invalid("422: spec.x: bad", 422), "Refused", "spec.x: bad", id="invalid"),
    ],
)
async def test_a_failure_stands_in_the_status_until_it_is_over(world, job, fault, reason, message):
    key = await world.make(job)
    well = world.plan
    if isinstance(fault, Exception):
        world.cluster.faults.append(Fault("create", kube.CONFIG_MAP, fault))
    else:
        world.plan = fault
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.FAILED
    condition = Condition.model_validate(conditions_of(await world.live(key))["ReconcileError"])
    assert (condition.status, condition.reason) == ("True", reason)
    assert message in condition.message
    world.plan = well
    assert await world.reconciler.attempt(key) is Outcome.DONE
    assert "ReconcileError" not in conditions_of(await world.live(key))


async def test_a_failure_that_lasts_is_written_once(world, job, later):
    key = await world.make(job)
    world.plan = broken
    await world.queue.get()
    for minute in range(3):
        world.now = later(60 * minute)
        assert await world.reconciler.attempt(key) is Outcome.FAILED
    assert world.cluster.writes() == [("apply", "FineTuneJob", "tune")]


@pytest.mark.parametrize(
    "verb", [pytest.param("create", id="a-child"), pytest.param("apply", id="a-route")]
)
async def test_a_refusal_of_an_act_that_lasts_is_written_once(world, job, child, later, verb):
    key = await world.make(job)
    act = CreateOnce if verb == "create" else Apply
    world.plan = lambda job, *_: Plan(status={"phase": "Making"}, acts=(act(child(job)),))
    quota = kube.Forbidden("exceeded quota", 403)
    world.cluster.faults.append(Fault(verb, kube.CONFIG_MAP, quota, times=6))
    told = []
    world.cluster.listen(lambda kind, _type, live: told.append(conditions_of(live)))
    await world.queue.get()
    for minute in range(6):
        world.now = later(60 * minute)
        assert await world.reconciler.attempt(key) is Outcome.FAILED
    assert [list(found) for found in told] == [[], ["ReconcileError"]], "the error came and went"
    assert await world.reconciler.attempt(key) is Outcome.DONE
    assert "ReconcileError" not in conditions_of(await world.live(key))
    world.cluster.calls.clear()
    assert await world.reconciler.attempt(key) is Outcome.DONE
    assert ("apply", "FineTuneJob", "tune") not in world.cluster.writes()


async def test_an_error_stands_while_the_status_goes_on(world, job):
    key = await world.make(job)
    quota = kube.Forbidden("exceeded quota", 403)
    world.cluster.faults.append(Fault("create", kube.CONFIG_MAP, quota, times=2))
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.FAILED
    admitted = conditions.condition("Admitted", True, "Rendered", now=world.now, generation=1)
    well = world.plan
    world.plan = lambda *given: dataclasses.replace(
        well(*given), status={"phase": "Next", "conditions": [admitted.as_object()]}
    )
    assert await world.reconciler.attempt(key) is Outcome.FAILED
    live = await world.live(key)
    assert live["status"]["phase"] == "Next"
    assert list(conditions_of(live)) == ["Admitted", "ReconcileError"]


async def test_a_plan_without_a_status_ends_an_error_too(world, job):
    key = await world.make(job)
    world.plan = broken
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.FAILED
    world.plan = lambda *_: Plan()
    assert await world.reconciler.attempt(key) is Outcome.DONE
    assert "ReconcileError" not in conditions_of(await world.live(key))


async def test_a_foreign_child_is_named_in_the_status(world, job, child):
    key = await world.make(job)
    world.plan = foreign_child(child)
    theirs = {"apiVersion": "v1", "kind": "ConfigMap"}
    await world.cluster.create(theirs | {"metadata": {"name": "tune-taken", "namespace": "team"}})
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.FAILED
    condition = conditions_of(await world.live(key))["ReconcileError"]
    assert condition["reason"] == "ForeignChild"
    assert "ConfigMap team/tune-taken" in condition["message"]


async def test_a_leftover_is_waited_for_without_an_error(world, job, child, owner_before):
    key = await world.make(job)
    resource = FineTuneJob.read(await world.live(key))
    left = await world.cluster.create(child(resource, ownerReferences=[owner_before(resource)]))
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.STALE
    world.queue.done(key)
    assert "ReconcileError" not in conditions_of(await world.live(key))
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", left["metadata"]["uid"])
    await world.drain()
    assert (await world.live(key))["status"]["phase"] == "Made"


async def test_an_unreadable_spec_is_named_by_field_and_never_acted_on(world, job):
    job["spec"]["numNodes"] = "many"
    key = await world.make(job)
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.FAILED
    condition = conditions_of(await world.live(key))["ReconcileError"]
    assert condition["reason"] == "Unreadable"
    assert condition["message"].startswith("spec.numNodes: ")
    assert world.seen is None, "a planner saw it"


async def test_one_broken_resource_stops_no_other(world, job):
    await world.make(job | {"spec": job["spec"] | {"numNodes": "many"}})
    other = job | {"metadata": {"name": "fine", "namespace": "team"}}
    key = await world.make(other)
    await world.drain()
    assert (await world.live(key))["status"]["phase"] == "Made"


@pytest.mark.parametrize("gone", ["deleted", "on-its-way"])
async def test_a_resource_that_goes_is_left_alone(world, job, gone):
    key = await world.make(job)
    live = await world.live(key)
    if gone == "deleted":
        await world.cluster.delete(key.kind, key.namespace, key.name, live["metadata"]["uid"])
    else:
        live["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "99"}
        world.store.put(key.kind, live)
    world.cluster.calls.clear()
    assert await world.reconciler.attempt(key) is Outcome.GONE
    assert world.cluster.calls == []


async def test_a_status_that_comes_too_late_for_a_deleted_resource_is_no_failure(
    world, job, caplog
):
    key = await world.make(job)
    live = await world.live(key)
    world.cluster.deafen()
    await world.cluster.delete(key.kind, key.namespace, key.name, live["metadata"]["uid"])
    with caplog.at_level(logging.WARNING):
        assert await world.reconciler.attempt(key) is Outcome.STALE
    assert caplog.messages == []
    assert await world.reconciler.attempt(key) is Outcome.GONE


async def unheard(world, job, child, act):
    """A job at rest that goes on wanting its child, and watches that tell no more.

    Returns its key, the job and the child.
    """
    key = await world.make(job)
    await world.drain()
    live = await world.live(key)
    (standing,) = world.cluster.all(kube.CONFIG_MAP)
    world.plan = lambda job, *_: Plan(status=live["status"], acts=(act(child(job)),))
    world.cluster.deafen()
    return key, live, standing


@pytest.mark.parametrize("is_made_anew", [False, True], ids=["deleted", "made-anew"])
@pytest.mark.parametrize("act", [CreateOnce, Apply])
async def test_no_child_is_brought_back_for_a_resource_that_is_gone(
    world, job, child, act, is_made_anew
):
    """Its children's end may be told before its own: watches of two kinds keep no order."""
    key, live, standing = await unheard(world, job, child, act)
    await world.cluster.delete(key.kind, key.namespace, key.name, live["metadata"]["uid"])
    if is_made_anew:
        await world.cluster.create(job)
    world.store.drop(kube.CONFIG_MAP, "team", "tune-run", standing["metadata"]["uid"])
    assert await world.reconciler.attempt(key) is Outcome.STALE
    assert world.cluster.all(kube.CONFIG_MAP) == []
    assert await world.reconciler.attempt(key) is (Outcome.DONE if is_made_anew else Outcome.GONE)
    assert len(world.cluster.all(kube.CONFIG_MAP)) == is_made_anew


@pytest.mark.parametrize(
    "since",
    [
        pytest.param({"status": {"phase": "Newer", "observedGeneration": 1}}, id="status"),
        pytest.param({"spec": {"suspend": True}}, id="spec"),
    ],
)
@pytest.mark.parametrize("act", [CreateOnce, Apply])
async def test_no_child_is_made_for_a_resource_as_it_was_before(world, job, child, act, since):
    """What is missing may have come and gone since: the name of an attempt is free again."""
    key, live, standing = await unheard(world, job, child, act)
    world.cluster.edit(live, **{part: live[part] | since[part] for part in since})
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", standing["metadata"]["uid"])
    world.store.drop(kube.CONFIG_MAP, "team", "tune-run", standing["metadata"]["uid"])
    assert await world.reconciler.attempt(key) is Outcome.STALE
    assert world.cluster.all(kube.CONFIG_MAP) == []
    assert await world.reconciler.attempt(key) is Outcome.DONE


async def test_progress_keeps_no_child_away(world, job, child):
    """It is written all the time, by another manager, and decides nothing."""
    key, _, standing = await unheard(world, job, child, CreateOnce)
    report = job | {"status": {"progress": {"step": 7}}}
    await world.cluster.apply(report, subresource="status", manager="fairlead-progress")
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", standing["metadata"]["uid"])
    world.store.drop(kube.CONFIG_MAP, "team", "tune-run", standing["metadata"]["uid"])
    assert await world.reconciler.attempt(key) is Outcome.DONE
    assert len(world.cluster.all(kube.CONFIG_MAP)) == 1


async def test_a_child_that_somebody_deleted_is_brought_back(world, job, child):
    key = await world.make(job)
    await world.drain()
    (standing,) = world.cluster.all(kube.CONFIG_MAP)
    uid = standing["metadata"]["uid"]
    status = (await world.live(key))["status"]
    world.plan = lambda job, *_: Plan(status=status, acts=(CreateOnce(child(job)),))
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", uid)
    assert await world.reconciler.attempt(key) is Outcome.DONE
    assert len(world.cluster.all(kube.CONFIG_MAP)) == 1


async def test_a_namespace_on_its_way_out_is_no_error(world, job):
    key = await world.make(job)
    ending = kube.NamespaceTerminating("the namespace is being terminated", 403)
    world.cluster.faults.append(Fault("create", kube.CONFIG_MAP, ending))
    await world.queue.get()
    assert await world.reconciler.attempt(key) is Outcome.GONE
    assert "ReconcileError" not in conditions_of(await world.live(key))


async def test_a_conflict_over_a_child_renews_what_the_cache_holds_of_it(world, job, child):
    key = await world.make(job)
    await world.drain()
    (made,) = world.cluster.all(kube.CONFIG_MAP)
    seen = Seen.of(made)
    world.cluster.deafen()
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", seen.uid)
    world.plan = lambda job, *_: Plan(acts=(Apply(child(job), seen),))
    assert await world.reconciler.attempt(key) is Outcome.STALE
    assert world.store.get(kube.CONFIG_MAP, "team", "tune-run") is None


async def test_a_conflict_over_a_child_reads_no_pods(world, job, child):
    """There may be thousands, and none of them is written to."""
    key = await world.make(job)
    await world.drain()
    (made,) = world.cluster.all(kube.CONFIG_MAP)
    await world.cluster.create(child(FineTuneJob.read(await world.live(key))) | {"kind": "Pod"})
    world.cluster.deafen()
    world.cluster.edit(made, data={"newer": "1"})
    world.cluster.calls.clear()
    world.plan = lambda job, *_: Plan(acts=(Apply(child(job), Seen.of(made)),))
    assert await world.reconciler.attempt(key) is Outcome.STALE
    reads = [(verb, kind.kind) for verb, kind, _ in world.cluster.calls if verb == "get"]
    assert reads == [("get", "FineTuneJob"), ("get", "ConfigMap")]


async def test_a_plan_may_ask_to_be_looked_at_again(world, job, later):
    key = await world.make(job)
    world.plan = lambda *_: Plan(requeue_at=later(0))
    await world.drain()
    assert await world.queue.get() == key


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        pytest.param("apply", kube.FINETUNEJOB, id="status"),
        pytest.param("create", kube.CONFIG_MAP, id="child"),
    ],
)
async def test_a_replica_that_lost_the_lease_goes_no_step_further(world, job, verb, kind):
    key = await world.make(job)
    world.cluster.faults.append(Fault(verb, kind, LeaseLost("somebody else leads")))
    with pytest.raises(LeaseLost):
        await world.reconciler.attempt(key)
    assert world.cluster.writes()[-1][:2] == (verb, kind.kind), "it went on"
    assert world.cluster.all(kube.CONFIG_MAP) == []


async def test_ten_thousand_resources_at_rest_leave_the_loop_to_others(world, job):
    head = {"namespace": "team", "resourceVersion": "1"}
    for number in range(10_000):
        name = {"name": f"tune-{number}", "uid": f"uid-{number}"}
        world.store.put(kube.FINETUNEJOB, job | {"metadata": head | name})
    world.plan = lambda *_: Plan()
    passes = Count()
    num_workers = 32
    workers = [
        asyncio.create_task(world.reconciler.work(passes, lambda: 0.0)) for _ in range(num_workers)
    ]
    world.intake.resync()
    most = seen = 0
    while passes.total < 10_000:
        await asyncio.sleep(0)
        most, seen = max(most, passes.total - seen), passes.total
    for worker in workers:
        worker.cancel()
    assert most <= num_workers, "one worker made pass after pass while the loop waited"


class Count:
    """Counts passes."""

    total = 0

    def reconciled(self, kind, outcome, seconds):
        self.total += 1


async def test_workers_tell_how_each_pass_ended(world, job):
    await world.make(job)
    told = []

    class Tally:
        def reconciled(self, kind, outcome, seconds):
            told.append((kind.kind, str(outcome)))
            raise KeyboardInterrupt  # the way out of a loop that never ends

    with pytest.raises(KeyboardInterrupt):
        await world.reconciler.work(Tally(), lambda: 0.0)
    assert told == [("FineTuneJob", "done")]
