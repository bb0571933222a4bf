"""The ConfigMap that pins a job: its run file and the progress endpoint's trust anchor.

Created once and immutable: every stage of every attempt reads the same run file, whatever
happens to the resource or the operator in between.
"""

from typing import Final

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.runfile import RunFile
from fairlead_operator.finetune import owner
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest

MAX_BYTES: Final = 1_000_000  # of the 1 MiB that a ConfigMap holds; the rest is for the CA


def run_file(job: FineTuneJob) -> str:
    """The run file as JSON."""
    return RunFile(
        name=job.metadata.name,
        namespace=job.metadata.namespace,
        uid=job.metadata.uid,
        spec=job.spec.model_copy(update={"suspend": False}),
        training_arguments=job.spec.hyperparameters.extra_args,
    ).model_dump_json(by_alias=True, exclude_none=True)


def config_map(job: FineTuneJob, options: Options) -> Manifest:
    """Build the ConfigMap of a job."""
    data = {names.RUN_FILE_KEY: run_file(job)}
    if options.progress_ca:
        data[names.CA_KEY] = options.progress_ca
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(job, names.run_config_name(job.metadata.name)),
        "immutable": True,
        "data": data,
    }
