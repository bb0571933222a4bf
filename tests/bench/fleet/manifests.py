"""What is made: FineTuneJobs, the children that Fairlead would make of them, and the nodes.

Pure. The children come from Fairlead's own builders, so that every contestant makes the same
Jobs with the same pods: a text in which NAME stands for the job, as a template file of a tutorial.
"""

import json
from datetime import UTC, datetime

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.finetune.config import config_map
from fairlead_operator.finetune.export import export_job
from fairlead_operator.finetune.options import Options
from fairlead_operator.finetune.prepare import prepare_job
from fairlead_operator.finetune.train import train_job

STAGES = tuple(stage.lower() for stage in Stage)
CLAIM = "work"
TRAINER_IMAGE = "localhost/trainer"
NAIVE_GROUP, NAIVE_VERSION, NAIVE_PLURAL, NAIVE_KIND = (
    "bench.fairlead.dev", "v1", "naivejobs", "NaiveJob",
)  # fmt: skip
PODS_A_NODE = 250
_PLACEHOLDER = "job-placeholder"
_SPEC = {
    "model": {"uri": f"pvc://{CLAIM}/base"},
    "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": CLAIM},
}


def fine_tune_job(name):
    """A FineTuneJob as a user writes it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": name},
        "spec": _SPEC,
    }


def naive_job(name):
    """The same job for the naive operator."""
    return {
        "apiVersion": f"{NAIVE_GROUP}/{NAIVE_VERSION}",
        "kind": NAIVE_KIND,
        "metadata": {"name": name},
        "spec": _SPEC,
    }


def naive_crd():
    """The naive operator's kind, without a schema, as kopf's own examples have it."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": NAIVE_VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": schema, "status": schema,
        }}},
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{NAIVE_PLURAL}.{NAIVE_GROUP}"},
        "spec": {
            "group": NAIVE_GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": NAIVE_PLURAL, "singular": NAIVE_KIND.lower(), "kind": NAIVE_KIND,
            },
            "versions": [version],
        },
    }  # fmt: skip


def templates(progress_url):
    """Texts of the children by name: `run` and the Jobs of the stages.

    They lack an owner: who makes them adds it. The Jobs are those of the first attempt.
    """
    job = fine_tune_job(_PLACEHOLDER)
    head = {"namespace": _PLACEHOLDER, "uid": _PLACEHOLDER, "generation": 1}
    head["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    read = FineTuneJob.read(job | {"metadata": job["metadata"] | head})
    options = Options(trainer_image=TRAINER_IMAGE, progress_url=progress_url)
    made = {"run": config_map(read, options)}
    for stage, build in zip(STAGES, (prepare_job, train_job, export_job), strict=True):
        made[stage] = build(read, 1, options)
    for child in made.values():
        for field in ("namespace", "ownerReferences"):
            del child["metadata"][field]
    return {part: json.dumps(child).replace(_PLACEHOLDER, "NAME") for part, child in made.items()}


def child(text, name):
    """A child of the job of that name, from its template."""
    return json.loads(text.replace("NAME", name))


def storage(namespace):
    """A claim and the volume that it is bound to: a pod with an unbound claim is not scheduled."""
    modes, size = ["ReadWriteMany"], {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": namespace},
        "spec": {
            "accessModes": modes,
            "capacity": size,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": namespace, "name": CLAIM},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": {
            "accessModes": modes,
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": namespace,
        },
    }
    return volume, claim


def foreign_pod(number):
    """A pod of somebody else's, which no scheduler takes up."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"foreign-{number:05d}",
            "labels": {"app.kubernetes.io/name": "shop", "pod-template-hash": f"{number:010x}"},
        },
        "spec": {
            "schedulerName": "nobody",
            "automountServiceAccountToken": False,
            "containers": [{"name": "shop", "image": "localhost/shop", "ports": [
                {"containerPort": 8080},
            ]}],
        },
    }  # fmt: skip
