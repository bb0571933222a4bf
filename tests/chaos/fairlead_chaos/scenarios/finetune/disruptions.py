"""FineTuneJobs that others disturb: drains, lost nodes, foreign hands on children, upgrades.

An attempt that is tried again waits ten seconds first, the next time twenty: those that retry
take as long.
"""

from typing import Final

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition, Reason
from fairlead_api.finetunestatus import Stage
from fairlead_chaos.scenarios import ends, jobs, manifests, neighbours, states
from fairlead_chaos.scenarios.jobs import Job, scenario
from fairlead_operator import kube


async def evicted(job: Job) -> None:
    """A drain ends the attempt; the next one doesn't count as a restart."""
    await job.create(maxRestarts=0)
    await job.evicted(1)
    await job.completes()


async def node_lost(job: Job) -> None:
    """The worker's node is taken away; the job goes on elsewhere."""
    await job.create(maxRestarts=0)
    await job.trains()
    await job.hands.lose_node(await job.pod(Stage.TRAIN))
    await job.completes()


async def no_progress(job: Job) -> None:
    """Three drains without a new checkpoint: it is of no use to go on.

    Takes the ten and the twenty seconds between the attempts.
    """
    await job.create()
    for attempt in (1, 2, 3):
        await job.evicted(attempt)
    await job.fails(Reason.NO_PROGRESS)


async def _two_train(job: Job) -> None:
    """Two workers run, and find each other by their headless Service."""
    await neighbours.claim(job.hands, "shared", "ReadWriteMany")
    await job.create(**jobs.two_nodes_on("shared"))
    await job.trains()


async def job_deleted(job: Job) -> None:
    """Somebody deletes the running Job: a disruption. The Service stays for the next attempt."""
    await _two_train(job)
    await job.hands.delete(kube.JOB, job.attempt(Stage.TRAIN))
    await job.completes()


async def children_deleted(job: Job) -> None:
    """Somebody deletes what the workers read and find each other by: both come back.

    It ends while it trains.
    """
    await _two_train(job)
    for kind, name in (
        (kube.CONFIG_MAP, names.run_config_name(job.name)),
        (kube.SERVICE, names.workers_service_name(job.name)),
    ):
        found = await job.child(kind, name)
        await job.hands.delete(kind, name)
        await job.hands.until(
            kind, name, states.is_new(found["metadata"]["uid"]), f"{name} is back"
        )


async def labelled(job: Job) -> None:
    """Somebody labels the running children, and calls the attempt by another number.

    It is the same Job as before, so it trains on.
    """
    await _two_train(job)
    marks = {"labels": {"team": "tenants", names.LABEL_ATTEMPT: "7"}}
    await job.hands.patch(kube.JOB, job.attempt(Stage.TRAIN), {"metadata": marks})
    await job.hands.patch(
        kube.SERVICE,
        names.workers_service_name(job.name),
        {"metadata": {"labels": {"team": "tenants"}}},
    )


async def queued(job: Job) -> None:
    """A queue suspends the running Job and lets it go on; it stays the same attempt."""
    await job.create()
    await job.trains()
    attempt = job.attempt(Stage.TRAIN)
    await job.hands.patch(kube.JOB, attempt, {"spec": {"suspend": True}})
    waits = states.says(FineTuneJobCondition.WORKERS_READY, "False")
    await job.until(waits, "its workers wait in the queue")
    # Kubernetes says so after it has deleted the pods, and never where it goes on before.
    is_suspended = states.says("Suspended", "True")
    await job.hands.until(kube.JOB, attempt, is_suspended, f"Job {attempt} is suspended")
    await job.hands.patch(kube.JOB, attempt, {"spec": {"suspend": False}})
    await job.trains()


async def foreign_config_map(job: Job) -> None:
    """A stranger's ConfigMap has the name of ours; once it is gone, ours is made."""
    name = names.run_config_name(job.name)
    await job.hands.create(manifests.config_map(name, mine="yes"))
    await job.create()
    await job.until(states.reconcile_error(Reason.FOREIGN_CHILD), "it tells of the stranger")
    await job.hands.delete(kube.CONFIG_MAP, name)
    await job.completes()


async def foreign_job(job: Job) -> None:
    """A stranger's Job has the name of the Train attempt."""
    await job.hands.create(manifests.foreign_job(job.attempt(Stage.TRAIN)))
    await job.create()
    await job.until(states.reconcile_error(Reason.FOREIGN_CHILD), "it tells of the stranger")
    await job.hands.delete(kube.JOB, job.attempt(Stage.TRAIN))
    await job.completes()


async def upgraded_in_training(job: Job) -> None:
    """Another trainer's image comes while it trains: only later attempts and stages get it.

    The drain afterwards lets it go on; the first attempt's Job stays, with its image.
    """
    await job.create()
    await job.trains()
    await job.hands.restart_operator(FAIRLEAD_TRAINER_IMAGE="localhost/trainer:next")
    await job.evicted(1)
    await job.completes()


ALL: Final = (
    scenario(evicted, ends.all_well(train=2)),
    scenario(node_lost, ends.all_well(train=2)),
    scenario(no_progress, ends.prepared()),
    scenario(job_deleted, ends.all_well(train=2)),
    scenario(children_deleted, ends.prepared()),
    scenario(labelled, ends.prepared()),
    scenario(queued, ends.prepared()),
    scenario(foreign_config_map, ends.all_well()),
    scenario(foreign_job, ends.all_well()),
    scenario(upgraded_in_training, ends.all_well(train=2)),
)
