"""Workers for which the cluster has no room: the scheduler's own words, and nothing counted.

The operator is a process of this machine. Nothing of ours tolerates the simulated nodes' taint
without asking for a GPU, so no pod finds a node; they are ended by writing their status.
"""

import json

import pytest

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause, PreparedData, Termination, TrainingResult
from fairlead_operator import kube

pytestmark = pytest.mark.cluster

PREPARED = PreparedData(digest="sha256:" + "a" * 64, num_rows=1, format="Text")
TRAINED = TrainingResult(step=9, world_size=1, checkpoint="c/9")


@pytest.fixture
def job(team):
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": "tune", "namespace": team},
        "spec": {
            "model": {"uri": "pvc://work/base"},
            "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "work"},
            "startTimeout": "5s",
        },
    }


@pytest.fixture
def status(api, team):
    """What a job's status says of its Train stage, and its condition of a type."""

    class Status:
        async def train(self):
            live = await api.get(kube.FINETUNEJOB, team, "tune")
            stages = FineTuneJob.read(live).status.stages
            return next(each for each in stages if each.name is Stage.TRAIN)

        async def condition(self, type_):
            live = await api.get(kube.FINETUNEJOB, team, "tune")
            found = (live.get("status") or {}).get("conditions") or []
            return next((each for each in found if each["type"] == type_), {})

    return Status()


async def test_workers_without_room_wait_on_with_the_schedulers_reason_and_no_failure(
    api, team, start, job, status, kubectl, until, end_attempt
):
    await start("one").leading()
    await api.create(job)

    async def waits():  # the pod may come late, and the scheduler's word on it later still
        found = await status.condition("WorkersReady")
        is_pending = found.get("reason") == "WorkersPending"
        return found if is_pending and "Unschedulable" in found["message"] else None

    async def trained():
        return (await status.condition("Trained")).get("status") == "True"

    done = Termination(cause=Cause.SUCCEEDED, prepared=PREPARED).to_message()
    await end_attempt(names.stage_job_name("tune", Stage.PREPARE, 1), 0, done)
    ready = await until(waits, "startTimeout is over for the workers")
    worker = names.stage_job_name("tune", Stage.TRAIN, 1)
    selector = f"batch.kubernetes.io/job-name={worker}"
    (pod,) = json.loads(kubectl("get", "pods", "-n", team, "-l", selector, "-o", "json"))["items"]
    (scheduler,) = (it for it in pod["status"]["conditions"] if it["type"] == "PodScheduled")
    assert "nodes are available" in scheduler["message"]
    assert ready["status"] == "False"
    assert ready["message"] == (
        f"not running after 5s: pod {pod['metadata']['name']}: Unschedulable:"
        f" {scheduler['message']}"
    )
    stage = await status.train()
    assert (stage.state, stage.failures, stage.disruptions) == ("Running", 0, 0)
    done = Termination(cause=Cause.SUCCEEDED, training=TRAINED).to_message()
    await end_attempt(worker, 0, done)
    await until(trained, "the workers that waited have trained")
    stage = await status.train()
    assert (stage.attempt, stage.failures, stage.disruptions) == (1, 0, 0)
