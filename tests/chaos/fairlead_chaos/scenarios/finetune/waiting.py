"""FineTuneJobs that can't run as things stand, and go on once they can.

Claims and other people's ConfigMaps are looked at every 20 to 30 seconds, so those that wait for
one take as long.
"""

from typing import Final

from fairlead_api.conditions import FineTuneJobCondition, Reason
from fairlead_api.finetunestatus import Stage
from fairlead_chaos.scenarios import ends, jobs, manifests, neighbours, states
from fairlead_chaos.scenarios.jobs import Job, scenario


async def claim_missing(job: Job) -> None:
    """Its claim is made after it."""
    await job.create(storage={"claimName": "later"})
    await job.is_refused(Reason.CLAIM_NOT_FOUND)
    await neighbours.claim(job.hands, "later")
    await job.completes()


async def claim_pending(job: Job) -> None:
    """Its claim has no volume yet: the pod of its first stage waits for that."""
    await neighbours.unbound_claim(job.hands, "later")
    await job.create(storage={"claimName": "later"})
    await job.pod_waits(Stage.PREPARE)
    await neighbours.volume(job.hands, "later")
    await job.completes()


async def rows_missing(job: Job) -> None:
    """Its dataset's ConfigMap is made after it."""
    await job.create(datasets=[{"name": "rows", "configMapRef": {"name": "later"}}])
    await job.is_refused(Reason.CONFIG_MAP_NOT_FOUND)
    await job.hands.create(manifests.config_map("later", **{"rows.jsonl": manifests.ROWS}))
    await job.completes()


async def not_shared(job: Job) -> None:
    """Two nodes can't write to a claim of one: it says so and stays."""
    await job.create(numNodes=2)
    await job.is_refused(Reason.STORAGE_NOT_SHARED)


async def argument_refused(job: Job) -> None:
    """The administrator allows an argument that was refused, which takes a restart."""
    await job.create(hyperparameters={"extraArgs": {"jit_mode_eval": "true"}})
    await job.is_refused(Reason.ARGUMENT_REFUSED)
    await job.hands.restart_operator(FAIRLEAD_ALLOWED_TRAINING_ARGUMENTS="jit_mode_eval")
    await job.completes()


async def quota_exceeded(job: Job) -> None:
    """The API server refuses a child until the quota is raised."""
    await neighbours.quota(job.hands, count__jobs_batch="0")
    await job.create()
    await job.until(states.reconcile_error(Reason.REFUSED), "it tells of the quota")
    await neighbours.raise_quota(job.hands, count__jobs_batch="9")
    await job.completes()


async def workers_pending(job: Job) -> None:
    """There is room for one worker of two; past startTimeout it says so, and waits on."""
    await neighbours.quota(job.hands, pods="1")
    await neighbours.claim(job.hands, "shared", "ReadWriteMany")
    await job.create(**jobs.two_nodes_on("shared"), startTimeout="1s")
    pending = states.says(FineTuneJobCondition.WORKERS_READY, "False", Reason.WORKERS_PENDING)
    await job.until(pending, "it waits for room")
    await neighbours.raise_quota(job.hands, pods="9")
    await job.trains()


ALL: Final = (
    scenario(claim_missing, ends.all_well()),
    scenario(claim_pending, ends.all_well()),
    scenario(rows_missing, ends.all_well()),
    scenario(not_shared),
    scenario(argument_refused, ends.all_well()),
    scenario(quota_exceeded, ends.all_well()),
    scenario(workers_pending, ends.prepared()),
)
