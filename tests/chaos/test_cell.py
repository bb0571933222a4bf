"""A cell on a real control plane: the operator as a process of its own, pods on simulated nodes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition
from fairlead_api.finetunestatus import Stage
from fairlead_chaos import campaign, ground, lab, lifeline, oracle, soak, tenant, witness
from fairlead_chaos.admin import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    NAMESPACE,
    NODE,
    POLICY,
    POLICY_BINDING,
    VOLUME,
    Admin,
)
from fairlead_chaos.nursery import KUBECONFIG
from fairlead_chaos.scenarios import catalogue, ends, jobs, services, states
from fairlead_chaos.upstream import Upstream
from fairlead_operator import kube

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]
PATIENCE_SECONDS = 180  # other work runs on the same cores
OF_A_LAB = (NODE, NAMESPACE, POLICY, POLICY_BINDING, CLUSTER_ROLE)
OWNED = (VOLUME, CLUSTER_ROLE_BINDING)


async def goes_through(job):
    await job.create()
    await job.completes()


async def runs_on(job):
    await job.create()
    await job.trains()


async def comes_up(service):
    await service.born()


def has_begun(job):
    stages = states.status_of(job).get("stages") or []
    return any(stage.get("attempt") for stage in stages)


async def is_upgraded(job):
    await job.create()
    await job.until(has_begun, "it has begun")
    await job.hands.restart_operator(FAIRLEAD_TRAINER_IMAGE="localhost/newer:2")
    await job.completes()


async def is_evicted(job):
    await job.create()
    await job.evicted(attempt=1)
    await job.completes()


async def loses_its_node(job):
    await job.create()
    await job.trains()
    await job.hands.lose_node(await job.pod(Stage.TRAIN))
    await job.completes()


async def is_misconfigured(job):
    await job.hands.restart_operator(FAIRLEAD_WORKERS="0")


GOES_THROUGH = jobs.scenario(goes_through, ends.all_well())
RUNS_ON = jobs.scenario(runs_on, ends.prepared())
COMES_UP = services.scenario(comes_up)
IS_UPGRADED = jobs.scenario(is_upgraded, ends.all_well())
IS_EVICTED = jobs.scenario(is_evicted, ends.all_well(train=2))
LOSES_ITS_NODE = jobs.scenario(loses_its_node, ends.all_well(train=2))
IS_MISCONFIGURED = jobs.scenario(is_misconfigured)
ROUTED = catalogue.ALL["routed"]
SCENARIOS = [
    GOES_THROUGH, RUNS_ON, COMES_UP, IS_UPGRADED, IS_EVICTED, LOSES_ITS_NODE, IS_MISCONFIGURED,
    ROUTED,
]  # fmt: skip


async def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.05)
    return found


async def nothing(_):
    """What befalls most cells."""


async def told(world, scenario, befalls=nothing):
    """A scenario told, and what befalls its cell then, at rest; again where the machine starved it.

    Where nothing befalls it, it is told undisturbed.
    """
    for _ in range(1 + campaign.MOST_REPEATS):
        async with world.cell(scenario) as cell:
            run = await cell.run()
            if run.error is None:
                try:
                    await befalls(cell)
                except (OSError, LookupError, AssertionError, kube.ClusterError) as error:
                    run.error = f"{type(error).__name__}: {error}"
            is_at_rest = run.error is None and await cell.settled(0.5)
        if not soak.is_starved(witness.seen(run, {}, 0)):
            break
    assert is_at_rest, run.error
    return run


async def witnessed(world, scenario):
    """One run's end; again where the machine starved it."""
    for _ in range(1 + campaign.MOST_REPEATS):
        ending = await witness.witness(world, scenario)
        if not soak.is_starved(ending):
            break
    return ending


async def test_an_undisturbed_job_goes_through_all_its_stages(world):
    began = time.process_time()
    run = await told(world, GOES_THROUGH)
    made = {write.write.name for write in run.trace.sent if write.is_new}
    name = GOES_THROUGH.name
    assert made >= {
        names.stage_job_name(name, stage, 1) for stage in ("prepare", "train", "export")
    }
    assert run.crashes == []
    harness_seconds = time.process_time() - began
    print(f"{run.seconds:.1f} s; CPU: operator {run.cpu_seconds:.2f} s, {harness_seconds:.2f} s")


async def test_a_model_service_becomes_ready(world):
    run = await told(world, COMES_UP)
    assert run.crashes == []


async def test_a_route_is_answered_counted_and_compared_like_every_child(world):
    ending = await witnessed(world, ROUTED)
    assert (ending.error, list(oracle.of_itself(ending))) == ("", [])
    assert ending.trace.created_and_deleted()["create", "httproutes", ROUTED.name] == 1
    route = ending.snapshot[f"HTTPRoute/{ROUTED.name}"]
    (answer,) = route["status"]["parents"]
    assert {one["type"]: one["status"] for one in answer["conditions"]} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
    }
    del route["metadata"]["ownerReferences"]
    (orphan,) = oracle.of_itself(ending)
    assert orphan.where.startswith(f"HTTPRoute/{ROUTED.name}")


async def test_an_operator_killed_by_hand_comes_back_and_goes_on(world):
    is_suspended = states.says(FineTuneJobCondition.SUSPENDED, "True")

    async def killed(cell):
        await cell.kill()
        await cell.hands.patch(kube.FINETUNEJOB, RUNS_ON.name, {"spec": {"suspend": True}})
        await cell.hands.until(kube.FINETUNEJOB, RUNS_ON.name, is_suspended, "it is suspended")

    run = await told(world, RUNS_ON, killed)
    assert [each.code for each in run.exits] == [-signal.SIGKILL, -signal.SIGKILL]
    assert {sent.incarnation for sent in run.trace.sent} == {1, 2}
    assert run.crashes == []


async def test_a_kill_that_comes_while_an_upgrade_waits_is_neither_lost_nor_blamed(world):
    async def killed(cell):
        os.kill(cell.pid, signal.SIGSTOP)  # as one that the proxy has cut off: it can't leave
        upgrade = asyncio.create_task(cell.hands.restart_operator())
        await asyncio.sleep(0)
        await cell.kill()
        await upgrade

    run = await told(world, RUNS_ON, killed)
    assert run.crashes == []
    assert [each.code for each in run.exits] == [-signal.SIGKILL] * 2


async def test_an_upgrade_ends_the_operator_in_peace_and_changes_its_settings(world):
    run = await told(world, IS_UPGRADED)
    assert [each.code for each in run.exits] == [0, -signal.SIGKILL]
    assert run.crashes == []


@pytest.mark.parametrize("scenario", [IS_EVICTED, LOSES_ITS_NODE], ids=lambda each: each.name)
async def test_an_interrupted_attempt_is_followed_by_another(world, scenario):
    run = await told(world, scenario)
    made = [write.write.name for write in run.trace.sent if write.is_new]
    assert made.count(names.stage_job_name(scenario.name, "train", 2)) == 1


async def test_an_operator_that_ends_by_itself_is_put_down_and_started_again(world):
    async with world.cell(IS_MISCONFIGURED) as cell:
        run = await cell.run()
        await until(partial(has_crashed_twice, run), "it was started again")
        assert {crash.code for crash in run.crashes} == {2}
        assert await cell.settled(0.5), "one that stays down is at rest too"
        assert "FAIRLEAD_WORKERS" in run.log


async def has_crashed_twice(run):
    return len(run.crashes) > 1


async def test_cells_at_once_do_not_see_each_other(world):
    runs = await asyncio.gather(*(told(world, GOES_THROUGH) for _ in range(4)))
    assert len({run.namespace for run in runs}) == 4
    for run in runs:
        others = [other.namespace for other in runs if other is not run]
        assert not [name for name in others if name in run.log]
        counted = run.trace.created_and_deleted()
        assert counted == runs[0].trace.created_and_deleted()
        assert set(counted.values()) == {1}


@pytest_asyncio.fixture(loop_scope="module")
async def ask(world):
    """Asks the API server with the token of a run's operator; returns the code of the answer."""
    async with aiohttp.ClientSession() as session:

        async def asked(cell, path):
            config = json.loads((world.folder / cell.namespace / KUBECONFIG).read_text())
            url = config["clusters"][0]["cluster"]["server"]
            token = config["users"][0]["user"]["token"]
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(url + path, headers=headers) as answer:
                return answer.status

        yield asked


async def test_the_chart_s_rights_bound_what_an_operator_may_do(world, ask):
    async with world.cell(RUNS_ON) as one, world.cell(RUNS_ON) as other:
        assert await ask(one, kube.JOB.path(one.namespace)) == 200
        assert await ask(one, kube.JOB.path(other.namespace)) == 403
        assert await ask(one, kube.SECRET.path(one.namespace)) == 403


async def test_pods_of_others_never_come_to_the_lab_s_nodes(world):
    name = f"elsewhere-{os.getpid()}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger"},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "stranger", "image": "none"}],
        },
    }
    await world.admin.create(namespace)
    try:
        await world.admin.ensure(tenant.default_account(), name)
        await world.admin.create(pod, name)
        seen = []
        async for seen in world.admin.states(kube.POD, name, {}):
            if seen[0]["status"].get("conditions"):
                break
        condition = seen[0]["status"]["conditions"][0]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    finally:
        await world.admin.delete(NAMESPACE, None, name)


async def left(admin, name):
    """What of a lab still stands in the cluster."""
    found = []
    for kind in OF_A_LAB:
        query = {"labelSelector": f"{ground.LABEL_LAB}={name}"}
        found += (await admin.listing(kind, params=query))["items"]
    return [each["metadata"]["name"] for each in found]


def descendants(pid):
    """Every process below one, by the name that ``lifeline`` gives it."""
    try:
        below = [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return set()
    return {name for child in below for name in (lifeline.name_of(child), *descendants(child))}


async def test_a_lab_leaves_nothing_behind(control_plane, tmp_path):
    before = descendants(os.getpid())
    async with lab.open_lab(control_plane, [RUNS_ON], tmp_path, num_nodes=1) as opened:
        async with opened.cell(RUNS_ON) as cell:
            run = await cell.run()
            assert run.error is None, run.error
            during = descendants(os.getpid()) - before
            assert len(during) >= 3, "kwok, the zygote and an operator"
        assert await left(opened.admin, opened.name)
    assert [name for name in during if lifeline.is_alive(name)] == []
    async with Admin(Upstream.of(control_plane.kubeconfig)) as admin:
        assert await left(admin, opened.name) == []
        for kind in OWNED:
            await until(partial(is_collected, admin, kind, run.namespace), f"{kind.kind} is gone")


async def is_collected(admin, kind, namespace):
    """Whether nothing is left of what a namespace owned; the garbage collector takes a moment."""
    listed = (await admin.listing(kind))["items"]
    return not [each for each in listed if namespace in each["metadata"]["name"]]


DOOMED = """
import asyncio, os, pathlib, sys
from fairlead_chaos import lab
from fairlead_chaos.scenarios import ends, jobs

async def runs_on(job):
    await job.create()
    await job.trains()

async def main():
    scenario = jobs.scenario(runs_on, ends.prepared())
    async with lab.open_lab(lab.bring_up(), [scenario], pathlib.Path(sys.argv[1]), 1) as opened:
        async with opened.cell(scenario) as cell:
            run = await cell.run()
            print("stands:", opened.name, run.namespace, run.error, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_killed_lab_leaves_is_removed_by_the_next(control_plane, tmp_path):
    command = (sys.executable, "-c", DOOMED, tmp_path)
    found = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    doomed = await asyncio.create_subprocess_exec(*command, env=found, stdout=subprocess.PIPE)
    words = []
    while words[:1] != ["stands:"]:
        line = await doomed.stdout.readline()
        assert line, "the lab came to no end"
        words = line.decode().split()
    _, name, _, error = words
    assert error == "None"
    family = descendants(doomed.pid)
    assert len(family) >= 3, "kwok, the zygote and an operator"
    doomed.kill()
    await doomed.communicate()
    for process in family:
        await until(partial(is_dead, process), f"{process} died as well")
    async with lab.open_lab(control_plane, [], tmp_path, num_nodes=1) as opened:
        await until(partial(nothing_left, opened.admin, name), "its namespace is gone")


async def is_dead(process):
    return not lifeline.is_alive(process)


async def nothing_left(admin, name):
    return not await left(admin, name)
