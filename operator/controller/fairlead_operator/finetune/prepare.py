"""The Job that turns datasets into normalised parquet: one pod, no GPU."""

from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.finetune.job import StagePod, stage_job
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest


def prepare_job(job: FineTuneJob, attempt: int, options: Options) -> Manifest:
    """Build the Job of a Prepare attempt."""
    pod = StagePod(stage=Stage.PREPARE, resources={"requests": dict(options.support_requests)})
    return stage_job(job, attempt, pod, options)
