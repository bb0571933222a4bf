"""With no operator at all: a training ends, serving serves, deletion ends; then it goes on.

Nothing of ours stands between Kubernetes and what was asked of it: no finalizer, no webhook, no
part in a pod's life. No node runs the pods: their status is written as a kubelet would.
"""

import json
import signal
from datetime import UTC, datetime

import pytest

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_chaos.scenarios import ends
from fairlead_operator import kube

pytestmark = pytest.mark.cluster

SPECS = {
    kube.FINETUNEJOB: {
        "model": {"uri": "pvc://work/base"},
        "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "work"},
    },
    kube.MODELSERVICE: {"model": {"uri": "pvc://work/base"}},
}


@pytest.fixture
def make(api, team):
    async def made(kind, name):
        head = {"name": name, "namespace": team}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": head}
        await api.create(body | {"spec": SPECS[kind]})

    return made


@pytest.fixture
def pods(api, team):
    """The pods that bear a resource's label, by name, without those that are on their way out."""

    async def found(label, name):
        heads = await api.list_heads(kube.POD, team, {label: name})
        lives = [await api.get(kube.POD, team, head["metadata"]["name"]) for head in heads]
        return {
            live["metadata"]["name"]
            for live in lives
            if "deletionTimestamp" not in live["metadata"]
        }

    return found


@pytest.fixture
def runs(api, team, until):
    """Waits until the first attempt of a job's stage has its pod and is told of."""

    async def waited(name, stage):
        async def running():
            live = await api.get(kube.FINETUNEJOB, team, name)
            stages = (live.get("status") or {}).get("stages") or []
            return any((s["name"], s["state"]) == (stage, "Running") for s in stages)

        await until(running, f"{name} is in {stage}")

    return waited


@pytest.fixture
def succeed(end_attempt, until, api, team):
    """Ends the first attempt of a stage well, and waits until its Job is Complete."""

    async def ended(name, stage):
        job = names.stage_job_name(name, stage, 1)
        message = ends.success(stage)
        await end_attempt(job, 0, message)

        async def complete():
            conditions = (await api.get(kube.JOB, team, job))["status"].get("conditions") or []
            return [c for c in conditions if (c["type"], c["status"]) == ("Complete", "True")]

        await until(complete, f"{job} is Complete")

    return ended


@pytest.fixture
def serves(api, team, until, kubectl, pods):
    """Makes the one pod of a service Ready and waits until its Deployment is available."""

    async def waited(name):
        async def one_pod():
            found = await pods(names.LABEL_MODELSERVICE, name)
            return found if len(found) == 1 else None

        (pod,) = await until(one_pod, f"{name} has one pod")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        patch = json.dumps({"status": {"phase": "Running", "conditions": [ready]}})
        kubectl("patch", "pod", pod, "-n", team, "--subresource=status", "-p", patch)

        async def available():
            found = await api.list_heads(kube.DEPLOYMENT, team)
            mine = [d["metadata"] for d in found]
            (deployment,) = (d["name"] for d in mine if d["name"].startswith(f"{name}-"))
            live = await api.get(kube.DEPLOYMENT, team, deployment)
            return live["status"].get("availableReplicas") == 1 and live

        return pod, await until(available, f"{name} is available")

    return waited


@pytest.fixture
def phase(api, team, until):
    async def waited(kind, name, wanted):
        async def told():
            return ((await api.get(kind, team, name)).get("status") or {}).get("phase") == wanted

        await until(told, f"{name} is {wanted}")

    return waited


async def test_work_goes_on_without_an_operator_and_is_taken_up_where_it_is(
    api, team, start, alike, kubectl, make, runs, succeed, serves, phase, created_and_deleted
):
    one = start("one")
    await one.leading()
    for kind, name in (
        (kube.FINETUNEJOB, "tune"),
        (kube.FINETUNEJOB, "dropped"),
        (kube.MODELSERVICE, "served"),
        (kube.MODELSERVICE, "withdrawn"),
    ):
        await make(kind, name)
    await runs("tune", Stage.PREPARE)
    await succeed("tune", Stage.PREPARE)
    await runs("tune", Stage.TRAIN)
    await runs("dropped", Stage.PREPARE)
    await serves("withdrawn")
    first_pod, deployment = await serves("served")
    await phase(kube.MODELSERVICE, "served", "Ready")

    one.stop(signal.SIGKILL)
    await succeed("tune", Stage.TRAIN)
    kubectl("delete", "pod", first_pod, "-n", team, "--wait=false")
    second_pod, _ = await serves("served")
    for kind, name in ((kube.FINETUNEJOB, "dropped"), (kube.MODELSERVICE, "withdrawn")):
        live = await api.get(kind, team, name)
        assert await api.delete(kind, team, name, live["metadata"]["uid"]) is None

    async def left():
        present = [kind for kind in kube.CHILDREN if kind not in kube.OPTIONAL]
        listed = [(kind.kind, await api.list_heads(kind, team)) for kind in present]
        heads = [(kind, head["metadata"]) for kind, found in listed for head in found]
        gone = ("dropped", "withdrawn")
        return [(kind, head) for kind, head in heads if head["name"].startswith(gone)]

    async def nothing():
        return []

    await alike(left, nothing)  # what was deleted is gone with its children

    two = start("one")  # the same pod's next container: the Lease is its own
    await two.leading()
    await runs("tune", Stage.EXPORT)
    await succeed("tune", Stage.EXPORT)
    await phase(kube.FINETUNEJOB, "tune", "Succeeded")
    await phase(kube.MODELSERVICE, "served", "Ready")
    assert second_pod != first_pod
    _, standing = await serves("served")
    for part in ("uid", "generation"):
        assert standing["metadata"][part] == deployment["metadata"][part]
    for name, num_made in (("tune", 4), ("served", 4)):
        writes = created_and_deleted(name)
        assert set(writes.values()) == {1}, writes
        assert {verb for verb, *_ in writes} == {"create"}
        assert len(writes) == num_made, writes
