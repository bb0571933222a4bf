"""The naive operator: kopf with the official client in threads, as most tutorials do it.

It does what Fairlead does for a job that goes well: a ConfigMap, and three Jobs one after the
other, with the state told in the status; it also suspends. What is usual stays: change handlers
with kopf's finalizer and annotations, results returned into the status, the state of a Job copied
into the parent's status on each event.
What was tuned beyond that is in `configure`.
"""

import json
import os
from pathlib import Path

import kopf
import kubernetes
from kubernetes.client.rest import ApiException

GROUP, VERSION, PLURAL = "bench.fairlead.dev", "v1", "naivejobs"
LABEL_JOB, LABEL_STAGE = "fairlead.dev/finetunejob", "fairlead.dev/stage"
STAGES = ("prepare", "train", "export")
RUNNING = {"prepare": "Preparing", "train": "Training", "export": "Exporting"}
TEMPLATES = json.loads(Path(os.environ["NAIVE_TEMPLATES"]).read_text())
THREADS = int(os.environ["NAIVE_THREADS"])
CONFLICT = 409


@kopf.on.startup()
def configure(settings, **_):
    """Tuned: threads and connections enough for a burst; a watch that the server doesn't end."""
    kubernetes.config.load_kube_config()
    chosen = kubernetes.client.Configuration.get_default_copy()
    chosen.connection_pool_maxsize = THREADS
    kubernetes.client.Configuration.set_default(chosen)
    # One client for all threads: each further one would make connections of its own.
    client = kubernetes.client.ApiClient()
    global core, batch, custom
    core = kubernetes.client.CoreV1Api(client)
    batch = kubernetes.client.BatchV1Api(client)
    custom = kubernetes.client.CustomObjectsApi(client)
    settings.execution.max_workers = THREADS
    settings.queueing.idle_timeout = 1.0
    settings.watching.server_timeout = 600
    # Jobs of others are filtered by the server, not after they were read.
    settings.watching.label_selectors["batch", "v1", "jobs"] = LABEL_JOB


def rendered(part, name, owner):
    """A child of a resource, from its template."""
    child = json.loads(TEMPLATES[part].replace("NAME", name))
    kopf.adopt(child, owner=owner)
    return child


def created(create, namespace, child):
    """Create a child, there already or not."""
    try:
        create(namespace, child)
    except ApiException as error:
        if error.status != CONFLICT:
            raise


def begin(stage, namespace, name, owner):
    """Create the Job of a stage."""
    created(batch.create_namespaced_job, namespace, rendered(stage, name, owner))


@kopf.on.create(GROUP, VERSION, PLURAL)
def create_fn(body, name, namespace, **_):
    owner = dict(body)
    created(core.create_namespaced_config_map, namespace, rendered("run", name, owner))
    begin(STAGES[0], namespace, name, owner)
    return {"job": f"{name}-{STAGES[0]}-a1"}


@kopf.on.field(GROUP, VERSION, PLURAL, field="spec.suspend")
def suspend_fn(old, new, status, body, name, namespace, **_):
    if not old and not new:
        return None
    phase = status.get("phase", "")
    stage = next((stage for stage in STAGES if RUNNING[stage] == phase), STAGES[0])
    if new:
        batch.delete_namespaced_job(
            f"{name}-{stage}-a1", namespace, propagation_policy="Background"
        )
        told(namespace, name, "Suspended")
    else:
        begin(stage, namespace, name, dict(body))
    return {"suspended": bool(new)}


@kopf.on.delete(GROUP, VERSION, PLURAL)
def delete_fn(name, logger, **_):
    logger.info("%s is deleted; its children follow by their owner references", name)


@kopf.on.event("batch", "v1", "jobs", labels={LABEL_JOB: kopf.PRESENT})
def job_fn(event, status, labels, meta, namespace, **_):
    if event["type"] == "DELETED" or meta.get("deletionTimestamp"):
        return
    name, stage = labels[LABEL_JOB], labels[LABEL_STAGE]
    ends = {c["type"] for c in status.get("conditions") or [] if c["status"] == "True"}
    if "Failed" in ends:
        told(namespace, name, "Failed")
    elif "Complete" in ends:
        finished(stage, namespace, name)
    elif status.get("ready"):
        told(namespace, name, RUNNING[stage])


def finished(stage, namespace, name):
    """Begin the stage after this one, or say that all is done."""
    if stage == STAGES[-1]:
        told(namespace, name, "Succeeded")
        return
    owner = custom.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
    begin(STAGES[STAGES.index(stage) + 1], namespace, name, owner)


def told(namespace, name, phase):
    """Write the phase into the status."""
    patch = {"status": {"phase": phase}}
    try:
        custom.patch_namespaced_custom_object_status(GROUP, VERSION, namespace, PLURAL, name, patch)
    except ApiException as error:
        if error.status != 404:
            raise
