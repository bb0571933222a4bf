"""The Job that publishes the trained model as an artifact: one pod, no GPU."""

from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.finetune import resources
from fairlead_operator.finetune.job import StagePod, stage_job
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest


def export_job(job: FineTuneJob, attempt: int, options: Options) -> Manifest:
    """Build the Job of an Export attempt.

    Merging an adapter holds the whole model in memory: room for a worker is room for that.
    """
    support, worker = options.support_requests, resources.memory(job.spec.resources_per_node)
    memory = max(support["memory"], worker, key=resources.amount)
    pod = StagePod(stage=Stage.EXPORT, resources={"requests": support | {"memory": memory}})
    return stage_job(job, attempt, pod, options)
