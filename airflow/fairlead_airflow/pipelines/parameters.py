"""The forms of the pipelines: every parameter with a title, a description, bounds and a default.

The defaults are those of ``examples/01-units``, so that a run without a change works where
``make airflow`` was started. The three pipelines share the sections that they have in common.
"""

from airflow.sdk import Param

from fairlead_airflow.pipelines import entries, rows
from fairlead_airflow.pipelines.batchform import batch_generation
from fairlead_airflow.pipelines.entries import Form
from fairlead_api.finetunejob import DataFormat

__all__ = ["batch_generation", "deploy_model", "fine_tune"]


def fine_tune() -> Form:
    """The form of fine_tune."""
    return {
        **_model(),
        **_data(),
        **_training(),
        **_compute(),
        **entries.serving(),
        **_evaluation(),
        **_afterwards(),
    }


def deploy_model() -> Form:
    """The form of deploy_model."""
    return {
        "name": entries.service_name(),
        "namespace": entries.namespace(),
        "fine_tune_job": entries.optional_text(
            "units",
            "FineTuneJob",
            "Its model is deployed; this, or a model's address.",
            "Model",
            **entries.RESOURCE,
        ),
        "model_uri": entries.optional_text(
            None, "Model", "Folder of a whole model: pvc://CLAIM/PATH.", "Model", **entries.URI
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
    section = "Model"
    return {
        "name": entries.service_name(),
        "namespace": entries.namespace(),
        "base_model": entries.text(
            "pvc://demo/bases/dates",
            "Base model",
            "Folder with config.json, tokenizer and safetensors: pvc://CLAIM/PATH.",
            section,
            **entries.URI,
        ),
        "claim": entries.text(
            "demo",
            "Claim for results",
            "PersistentVolumeClaim for prepared data, checkpoints and the model.",
            section,
            **entries.LABEL,
        ),
    }


def _data() -> Form:
    section = "Data"
    return {
        "dataset": entries.optional_text(
            "pvc://demo/datasets/amounts.jsonl",
            "Dataset",
            "pvc://CLAIM/PATH of JSONL or parquet, read in the cluster; or http(s)://, s3://, gs://"
            " of up to 128 KiB of JSONL, fetched and checked here.",
            section,
            maxLength=2048,
        ),
        "dataset_conn_id": entries.optional_text(
            None,
            "Connection of the dataset",
            "Airflow connection that opens an s3 or gs address; of type http: one on its host.",
            section,
        ),
        "rows": entries.optional_text(
            None,
            "Rows",
            "JSONL, instead of a dataset: one example a line.",
            section,
            format="multiline",
            maxLength=rows.MAX_CHARS,
        ),
        "data_format": entries.choice(
            [each.value for each in DataFormat],
            "Shape of the rows",
            "Auto tells it from the first row.",
            section,
        ),
    }


def _training() -> Form:
    section = "Training"
    steps = "Of the optimizer; training once more doubles them."
    return {
        "max_steps": entries.number(300, 1, 10_000_000, "Steps", steps, section),
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
        "tuning": entries.choice(
            ["Full", "LoRA"],
            "Weights",
            "Full trains every weight, LoRA small adapters beside them.",
            section,
        ),
        "training_more": entries.mapping(
            {"hyperparameters": {"lrSchedulerType": "cosine", "warmupRatio": 0.05}},
            "More of the FineTuneJob's spec",
            "Laid over what the form makes, e.g. deepspeed, checkpoint, maxRestarts.",
            section,
        ),
    }


def _compute() -> Form:
    section = "Compute"
    return {
        "num_nodes": entries.number(1, 1, 1024, "Nodes", "Pods that train together.", section),
        "gpus_per_node": entries.number(0, 0, 64, "GPUs a node", "0 trains on CPUs.", section),
        "training_resources": entries.mapping(
            {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
            "Resources a node",
            "As in a pod: requests and limits.",
            section,
        ),
    }


def _evaluation() -> Form:
    section = "Evaluation"
    person = "Wait a day for somebody's score: Required Actions in this UI."
    again = "Where no gate passed: once, with twice the steps."
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
        "judge": entries.optional_text(
            None,
            "Judge",
            "A ModelService that gives each answer a score; empty: none.",
            section,
            **entries.RESOURCE,
        ),
        "ask_human": entries.flag(False, "Ask a person", person, section),
        "retrain": entries.flag(True, "Train once more", again, section),
    }


def _afterwards() -> Form:
    keep = "Otherwise it is deleted in the end; the model's files stay on the claim."
    notified = "Of type http: a webhook that is told when no gate passed; empty: the log has it."
    return {
        "keep_job": entries.flag(True, "Keep the FineTuneJob", keep, "Afterwards"),
        "notify_conn_id": entries.optional_text(
            None, "Connection to notify", notified, "Afterwards"
        ),
    }
