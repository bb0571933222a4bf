"""From a run's form to the manifests that it will apply; pure."""

import copy
from collections.abc import Mapping
from typing import Any, Final

from fairlead_airflow.manifests import Manifest
from fairlead_api import manifest, names

CANDIDATE: Final = "candidate"
STAGING: Final = "staging"
MAX_NAME: Final = names.MAX_NAME_LENGTH - len(f"-{CANDIDATE}")
"""Longest name of a service: its candidate's name must fit, too."""
DATASET: Final = "rows"
RETRAIN_FACTOR: Final = 2


class InvalidPlan(ValueError):
    """A form that no run can follow; the message names what to change."""


def beside(name: str, role: str) -> str:
    """The name of the service that holds another model beside the one of this name."""
    return f"{name}-{role}"


def finetunejob(form: Mapping[str, Any], rows: str | None = None) -> Manifest:
    """The FineTuneJob that a form describes.

    Args:
        form: The run's parameters.
        rows: The training rows, where the run brings them along.

    Raises:
        InvalidPlan: With each field that the API server would refuse.
    """
    data = {"inline": rows} if rows is not None else {"uri": form["dataset"]}
    spec: Manifest = {
        "model": {"uri": form["base_model"]},
        "datasets": [{"name": DATASET, "format": form["data_format"], **data}],
        "prepare": {"maxLength": form["max_length"]},
        "trainer": {"type": "SFT"},
        "tuning": {"type": form["tuning"]},
        "hyperparameters": {
            "maxSteps": form["max_steps"],
            "learningRate": form["learning_rate"],
            "perDeviceTrainBatchSize": form["batch_size"],
        },
        "numNodes": form["num_nodes"],
        "resourcesPerNode": resources(form["training_resources"], form["gpus_per_node"]),
        "storage": {"claimName": form["claim"]},
    }
    job = {"spec": merged(spec, form["training_more"])}
    require_valid(names.FINETUNEJOB, job)
    return job


def longer(job: Manifest, factor: int = RETRAIN_FACTOR) -> Manifest:
    """The same job with more steps: more of the same would come to the same."""
    changed = copy.deepcopy(job)
    # A null stands for the API server's default, as if nothing were there.
    numbers = changed["spec"]["hyperparameters"] = changed["spec"].get("hyperparameters") or {}
    if numbers.get("maxSteps") is not None:
        numbers["maxSteps"] *= factor
    else:
        numbers["numTrainEpochs"] = (numbers.get("numTrainEpochs") or 1) * factor
    return changed


def modelservice(form: Mapping[str, Any], model: Mapping[str, Any]) -> Manifest:
    """The ModelService that a form describes.

    Raises:
        InvalidPlan: With each field that the API server would refuse.
    """
    spec: Manifest = {
        "model": dict(model),
        "engine": dict(form["engine"]),
        "resources": resources(form["serving_resources"], form["gpus_per_replica"]),
    }
    service = {"spec": spec}
    require_valid(names.MODELSERVICE, service)
    return service


def resources(given: Mapping[str, Any], num_gpus: int) -> Manifest:
    """Kubernetes' resources, with so many GPUs a pod."""
    whole: Manifest = copy.deepcopy(dict(given))
    if num_gpus:
        whole.setdefault("limits", {})[names.GPU_RESOURCE] = str(num_gpus)
    return whole


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Manifest:
    """Lay one mapping over another, member by member."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            value = merged(under, value)
        result[key] = value
    return result


def require_valid(kind: str, body: Manifest) -> None:
    """Have the schema say what it would refuse.

    Raises:
        InvalidPlan: With the fields.
    """
    whole = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": "x"}, **body}
    if faults := [str(fault) for fault in manifest.faults(whole)]:
        raise InvalidPlan("\n".join([f"the form makes no valid {kind}:", *faults]))
