"""The Job that publishes the trained model as an artifact: one pod, no GPU."""

from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.finetune.job import StagePod, stage_job
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest


def export_job(job: FineTuneJob, attempt: int, options: Options) -> Manifest:
    """Build the Job of an Export attempt."""
    pod = StagePod(stage=Stage.EXPORT, resources={"requests": dict(options.support_requests)})
    return stage_job(job, attempt, pod, options)
