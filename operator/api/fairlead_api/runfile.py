"""The run file: everything a FineTuneJob's containers need to know, in one typed document.

The operator renders it once into a ConfigMap; every stage of every attempt reads the same one.
What differs between attempts (the attempt's number, the rendezvous) is in the environment.

Layout below the job's folder (``RunFile.folder``), each name a fact that all stages share::

    data/                 normalised parquet, written by Prepare
    checkpoints/          committed checkpoints, written by Train
    results/<stage>.json  the stage's whole result; its presence ends a re-run at once
    artifact/             what Export publishes, with artifact.json
"""

from typing import Annotated, Final

from pydantic import Field

from fairlead_api import names, uris
from fairlead_api.base import Model
from fairlead_api.finetunejob import FineTuneJobSpec
from fairlead_api.finetunestatus import Stage

DATA_DIR: Final = "data"
CHECKPOINTS_DIR: Final = "checkpoints"
RESULTS_DIR: Final = "results"
ARTIFACT_DIR: Final = "artifact"


class RunFile(Model):
    """What the operator tells a FineTuneJob's containers."""

    name: str
    """Name of the FineTuneJob."""
    namespace: str
    uid: str
    """Uid of the FineTuneJob; part of its folder's path."""
    spec: FineTuneJobSpec
    """The job's spec, defaults filled in; ``suspend`` has no meaning here."""
    training_arguments: Annotated[dict[str, str], Field(max_length=64)] = {}
    """hyperparameters.extraArgs after the allow-list."""

    @property
    def folder(self) -> uris.ClaimUri:
        """Folder of everything this job writes."""
        return uris.job_folder(self.spec.storage.claim_name, self.name, self.uid)

    def result_file(self, stage: Stage) -> uris.ClaimUri:
        """The stage's result in storage."""
        return self.folder / f"{RESULTS_DIR}/{stage.lower()}.json"


def config_dataset_dir(dataset: str) -> str:
    """Where a dataset's ConfigMap is mounted."""
    return f"{names.CONFIG_DATASETS_DIR}/{dataset}"
