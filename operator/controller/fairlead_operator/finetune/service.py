"""The headless Service that gives the workers host names before they are ready."""

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.finetune import owner
from fairlead_operator.plan import Manifest


def workers_service(job: FineTuneJob) -> Manifest:
    """Build the Service; rank 0 listens while the others are still being scheduled."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(job, names.workers_service_name(job.metadata.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": owner.stage_labels(job, Stage.TRAIN),
            "ports": [{"name": "rendezvous", "port": names.PORT_RENDEZVOUS}],
        },
    }
