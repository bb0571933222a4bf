"""What pipelines hand on to each other: promoted models and prepared datasets, as assets.

The aliases are what a DAG names before anybody knows which service or which data it will be; an
event adds the one that it was, with what a later run needs in its ``extra``.
"""

from collections.abc import Mapping
from typing import Any, Final

from airflow.sdk import Asset, AssetAlias

_GROUP: Final = "fairlead"
PROMOTED_MODELS: Final = AssetAlias("fairlead_promoted_models", group=_GROUP)
"""Every model that passed its gates and serves in production."""
PREPARED_DATASETS: Final = AssetAlias("fairlead_prepared_datasets", group=_GROUP)
"""All training data that a FineTuneJob has prepared."""


def promoted_model(namespace: str, service: str) -> Asset:
    """The model that a service serves, whichever it is now."""
    return Asset(
        name=f"fairlead_model_{namespace}_{service}",
        uri=f"fairlead://models/{namespace}/{service}",
        group=_GROUP,
    )


def prepared_dataset(namespace: str, name: str) -> Asset:
    """The newest data of a name that training could use."""
    return Asset(
        name=f"fairlead_dataset_{namespace}_{name}",
        uri=f"fairlead://datasets/{namespace}/{name}",
        group=_GROUP,
    )


def model_event(served: Mapping[str, Any]) -> dict[str, Any]:
    """What an event of a promoted model tells.

    Args:
        served: What ServeOperator hands on.
    """
    model = served.get("model") or {}
    artifact = model.get("artifact") or {}
    return {
        "service": served["name"],
        "namespace": served["namespace"],
        "url": served["url"],
        "uri": artifact.get("uri") or model.get("uri", ""),
        "digest": artifact.get("digest", ""),
        "fine_tune_job": model.get("fineTuneJob", ""),
    }


def dataset_event(prepared: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """What an event of a prepared dataset tells.

    Args:
        prepared: What the task of the stage Prepare hands on.
        job: What the task that made the job hands on.
    """
    return {
        "digest": prepared["preparedDigest"],
        "fine_tune_job": job["name"],
        "namespace": job["namespace"],
    }
