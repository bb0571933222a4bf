"""Whatever happens around it, a job comes to one end and stays there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.termination import Cause
from fairlead_operator.finetune.plan import plan


def reconcile(world, number, cause):
    check_twice(world)
    world.reconcile()


def crash(world, number, cause):
    world.reconcile(crash_after=number)


def control(world, number, cause):
    world.control()


def start(world, number, cause):
    world.start_pods()


def succeed(world, number, cause):
    end(world, number, Cause.SUCCEEDED)


def succeed_mutely(world, number, cause):
    end(world, number, Cause.SUCCEEDED, message="")


def end(world, number, cause, **more):
    if pod := one_that_runs(world, number):
        world.end_pod(pod, cause, **more)


def lose(world, number, cause):
    if pod := one_that_runs(world, number):
        world.lose_pod(pod["metadata"]["name"])


def forget_ended_pod(world, number, cause):
    ended = [name for name, pod in world.pods.items() if world.pod_ended(pod)]
    if ended and all(map(world.ended, world.jobs.values())):
        del world.pods[ended[number % len(ended)]]


def delete_job(world, number, cause):
    for name in [name for name, job in world.jobs.items() if not world.ended(job)]:
        if world.stage_of(name)["state"] == "Running":
            world.delete_job(name)


def toggle_suspend(world, number, cause):
    world.set_suspend(number % 2 == 0)


def wait(world, number, cause):
    world.pass_time(10 ** (number + 1))


def one_that_runs(world, number):
    alive = [pod for pod in world.pods.values() if not world.pod_ended(pod)]
    return alive[number % len(alive)] if alive else None


HAPPENINGS = [
    reconcile, control, crash, start, succeed, end, succeed_mutely, lose, forget_ended_pod,
    delete_job, toggle_suspend, wait, reconcile, control,
]  # fmt: skip
CAUSES = [cause for cause in Cause if cause is not Cause.SUCCEEDED]
STEPS = st.lists(
    st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 3), st.sampled_from(CAUSES)), max_size=60
)


def check_twice(world):
    """A plan whose status was written asks for the same again, and nothing else."""
    first = world.plan()
    body = world.body | {"status": first.status}
    again = plan(FineTuneJob.read(body), world.observe(), world.now, world.options)
    assert again == first


def check_monotone(before, after):
    for old, new in zip(before.get("stages", []), after.get("stages", []), strict=bool(before)):
        for counter in ("attempt", "failures", "disruptions", "countedAttempt"):
            assert new.get(counter, 0) >= old.get(counter, 0)
        if old["state"] in ("Succeeded", "Failed"):
            assert new == old


@settings(max_examples=80)
@given(steps=STEPS, num_nodes=st.integers(1, 3), max_restarts=st.integers(0, 3))
def test_job_comes_to_one_end_and_stays(new_world, steps, num_nodes, max_restarts):
    world = new_world(numNodes=num_nodes, maxRestarts=max_restarts)
    for happen, number, cause in steps:
        before = world.status
        happen(world, number, cause)
        check_monotone(before, world.status)
    world.set_suspend(False)
    for _ in range(60):
        world.settle()
        if world.condition("Complete") or world.condition("Failed"):
            break
        world.end_all()
        world.pass_time(400)
    ends = [end for end in ("Complete", "Failed") if world.condition(end)]
    assert len(ends) == 1
    check_stays(world)


def check_stays(world):
    created, status = list(world.created), world.status
    world.pods.clear()
    world.pass_time(10_000)
    world.settle()
    assert world.status == status
    assert world.created == created


@settings(max_examples=25)
@given(crashes=st.lists(st.integers(0, 4), max_size=30))
def test_crashes_of_the_operator_alone_change_nothing(new_world, crashes):
    """Wherever the operator dies, the same Jobs are made, each of them once."""
    calm, shaken = new_world(numNodes=2), new_world(numNodes=2)
    for world in (calm, shaken):
        remaining = iter(crashes if world is shaken else [])
        for _ in range(80):
            world.reconcile(crash_after=next(remaining, None))
            world.control()
            world.start_pods()
            for pod in world.pods.values():
                if not world.pod_ended(pod):
                    world.end_pod(pod, Cause.SUCCEEDED)
    assert calm.condition("Complete") and shaken.condition("Complete")
    assert sorted(shaken.created) == sorted(calm.created)
    assert shaken.deleted == calm.deleted == []
