"""What marks an object as a FineTuneJob's own: labels and the owner reference."""

from typing import Any

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage


def labels(job: FineTuneJob) -> dict[str, str]:
    """Labels of every child."""
    return {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FINETUNEJOB: job.metadata.name}


def stage_labels(job: FineTuneJob, stage: Stage) -> dict[str, str]:
    """Labels of everything that belongs to one stage, whatever the attempt."""
    return labels(job) | {names.LABEL_STAGE: stage.lower()}


def metadata(job: FineTuneJob, name: str, extra: dict[str, str] | None = None) -> dict[str, Any]:
    """Metadata of a child of that name."""
    return {
        "name": name,
        "namespace": job.metadata.namespace,
        "labels": labels(job) | (extra or {}),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.FINETUNEJOB,
                "name": job.metadata.name,
                "uid": job.metadata.uid,
                "controller": True,
            }
        ],
    }
