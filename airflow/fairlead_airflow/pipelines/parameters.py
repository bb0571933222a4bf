"""The forms of the pipelines: every parameter with a title, a description, bounds and a default.

The defaults are those of ``examples/01-units``, so that a run without a change works where
``make airflow`` was started. The three pipelines share the sections that they have in common.
"""

from typing import Any, Final

from airflow.sdk import Param

from fairlead_airflow.pipelines import entries
from fairlead_airflow.pipelines.batchform import batch_generation
from fairlead_airflow.pipelines.entries import Form
from fairlead_api import names, uris
from fairlead_api.base import DNS_LABEL_PATTERN
from fairlead_api.finetunejob import DataFormat

__all__ = ["batch_generation", "deploy_model", "fine_tune"]
_URI: Final[dict[str, Any]] = {"pattern": uris.URI_PATTERN, "maxLength": uris.MAX_URI_LENGTH}


def fine_tune() -> Form:
    """The form of fine_tune."""
    return {
        **_model(),
        **_data(),
        **_training(),
        **entries.serving(),
        **_evaluation(),
        **_afterwards(),
    }


def deploy_model() -> Form:
    """The form of deploy_model."""
    return {
        "name": entries.service_name(),
        "namespace": entries.namespace(),
        "fine_tune_job": Param(
            "units",
            type=["null", "string"],
            pattern=DNS_LABEL_PATTERN,
            maxLength=names.MAX_NAME_LENGTH,
            title="FineTuneJob",
            description="Its model is deployed; this, or a model's address.",
            section="Model",
        ),
        "model_uri": Param(
            None,
            type=["null", "string"],
            **_URI,
            title="Model",
            description="Folder of a whole model: pvc://CLAIM/PATH.",
            section="Model",
        ),
        **entries.serving(),
        "replicas": entries.number(
            1, 0, 10_000, "Replicas at least", "More are left where there are more.", "Serving"
        ),
        "questions": entries.questions("Validation"),
        "gates": entries.gates(
            [], "Gates", "What the answers must come to; none: that it answers.", "Validation"
        ),
    }


def _model() -> Form:
    return {
        "name": entries.service_name(),
        "namespace": entries.namespace(),
        "base_model": Param(
            "pvc://demo/bases/dates",
            type="string",
            **_URI,
            title="Base model",
            description="Folder with config.json, tokenizer and safetensors: pvc://CLAIM/PATH.",
            section="Model",
        ),
        "claim": Param(
            "demo",
            type="string",
            pattern=DNS_LABEL_PATTERN,
            maxLength=63,
            title="Claim for results",
            description="PersistentVolumeClaim for prepared data, checkpoints and the model.",
            section="Model",
        ),
    }


def _data() -> Form:
    section = "Data"
    return {
        "dataset": Param(
            "pvc://demo/datasets/amounts.jsonl",
            type=["null", "string"],
            minLength=1,
            maxLength=2048,
            title="Dataset",
            description="pvc://CLAIM/PATH of JSONL or parquet, read in the cluster; or http(s)://,"
            " s3://, gs:// of up to 128 KiB of JSONL, fetched and checked here.",
            section=section,
        ),
        "dataset_conn_id": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Connection of the dataset",
            description="Airflow connection that opens an http(s), s3 or gs address.",
            section=section,
        ),
        "rows": Param(
            None,
            type=["null", "string"],
            format="multiline",
            maxLength=131_072,
            title="Rows",
            description="JSONL, instead of a dataset: one example a line.",
            section=section,
        ),
        "data_format": Param(
            DataFormat.AUTO.value,
            type="string",
            enum=[each.value for each in DataFormat],
            title="Shape of the rows",
            description="Auto tells it from the first row.",
            section=section,
        ),
    }


def _training() -> Form:
    section = "Training"
    return {
        "max_steps": entries.number(
            300,
            1,
            10_000_000,
            "Steps",
            "Of the optimizer; training once more doubles them.",
            section,
        ),
        "learning_rate": Param(
            0.006,
            type="number",
            exclusiveMinimum=0,
            maximum=10,
            title="Learning rate",
            description="The highest of the run.",
            section=section,
        ),
        "batch_size": entries.number(
            8, 1, 65_536, "Batch size", "Sequences a process and step.", section
        ),
        "max_length": entries.number(
            128, 16, 1_048_576, "Length", "Longest sequence in tokens.", section
        ),
        "tuning": Param(
            "Full",
            type="string",
            enum=["Full", "LoRA"],
            title="Weights",
            description="Full trains every weight, LoRA small adapters beside them.",
            section=section,
        ),
        "num_nodes": entries.number(1, 1, 1024, "Nodes", "Pods that train together.", section),
        "gpus_per_node": entries.number(0, 0, 64, "GPUs a node", "0 trains on CPUs.", section),
        "training_resources": entries.mapping(
            {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
            "Resources a node",
            "As in a pod: requests and limits.",
            section,
        ),
        "training_more": entries.mapping(
            {"hyperparameters": {"lrSchedulerType": "cosine", "warmupRatio": 0.05}},
            "More of the FineTuneJob's spec",
            "Laid over what the form makes, e.g. deepspeed, checkpoint, maxRestarts.",
            section,
        ),
    }


def _evaluation() -> Form:
    section = "Evaluation"
    return {
        "questions": entries.questions(section),
        "production_gates": entries.gates(
            [{"metric": "exact_match", "operator": ">=", "threshold": 0.7}],
            "Gates of production",
            "All must pass for the model to serve in production.",
            section,
        ),
        "staging_gates": entries.gates(
            [{"metric": "exact_match", "operator": ">=", "threshold": 0.4}],
            "Gates of staging",
            "Else all of these, for it to serve as NAME-staging; none: never.",
            section,
        ),
        "judge": Param(
            None,
            type=["null", "string"],
            pattern=DNS_LABEL_PATTERN,
            maxLength=names.MAX_NAME_LENGTH,
            title="Judge",
            description="A ModelService that gives each answer a score; empty: none.",
            section=section,
        ),
        "ask_human": Param(
            False,
            type="boolean",
            title="Ask a person",
            description="Wait a day for somebody's score: Required Actions in this UI.",
            section=section,
        ),
        "retrain": Param(
            True,
            type="boolean",
            title="Train once more",
            description="Where no gate passed: once, with twice the steps.",
            section=section,
        ),
    }


def _afterwards() -> Form:
    return {
        "keep_job": Param(
            True,
            type="boolean",
            title="Keep the FineTuneJob",
            description="Otherwise it is deleted in the end; the model's files stay on the claim.",
            section="Afterwards",
        ),
        "notify_conn_id": entries.notify_conn_id(),
    }
