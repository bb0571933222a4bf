"""Whether a run can come to an end at all, found out before it spends compute; pure."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairlead_airflow import gates, scores
from fairlead_airflow.manifests import Manifest
from fairlead_airflow.pipelines import plan
from fairlead_airflow.pipelines.plan import InvalidPlan
from fairlead_airflow.scores import Metric
from fairlead_api import names


def fine_tune(form: Mapping[str, Any], rows: str | None) -> dict[str, Any]:
    """What the tasks of fine_tune take from its form.

    Args:
        form: The run's parameters.
        rows: Its training rows, where it brings them along.

    Raises:
        InvalidPlan: For a manifest that the API server would refuse.
        gates.InvalidGate: Naming the gate that can't be judged.
    """
    require_one_source(form)
    measured = metrics(form)
    for field in ("production_gates", "staging_gates"):
        gates.check_available(gates.parse(form[field], field), measured, field)
    job = plan.finetunejob(form, rows)
    # Which job it serves is not known yet.
    service = plan.modelservice(form, {"fineTuneJobRef": {"name": form["name"]}})
    return {
        "job": job,
        "longer_job": _longer(form, job),
        "engine": service["spec"]["engine"],
        "resources": service["spec"]["resources"],
    }


def _longer(form: Mapping[str, Any], job: Manifest) -> Manifest:
    """The job of a second training, which must not be found to be invalid after the first."""
    longer = plan.longer(job)
    if form["retrain"]:
        try:
            plan.require_valid(names.FINETUNEJOB, longer)
        except InvalidPlan as invalid:
            why = f"retrain: training once more takes {plan.RETRAIN_FACTOR} times the steps"
            raise InvalidPlan(f"{invalid}\n{why}: take fewer, or switch it off") from invalid
    return longer


def require_known(conf: Mapping[str, Any] | None, parameters: Iterable[str]) -> None:
    """Have who triggered a run give parameters only that its DAG has: Airflow takes any.

    Args:
        conf: What the run was triggered with.
        parameters: Names of the DAG's own.

    Raises:
        InvalidPlan: With each name, and the one that may be meant.
    """
    names_ = list(parameters)
    unknown = []
    for key in sorted(set(conf or {}) - set(names_)):
        close = difflib.get_close_matches(key, names_, n=1)
        hint = f"; is {close[0]} meant?" if close else f"; there are {', '.join(names_)}"
        unknown.append(f"{key}: this DAG has no such parameter{hint}")
    if unknown:
        raise InvalidPlan("\n".join(unknown))


def require_one_source(form: Mapping[str, Any]) -> None:
    """Have the form name its data once.

    Raises:
        InvalidPlan: When it names none, or two.
    """
    has_rows, has_dataset = bool(form["rows"]), bool(form["dataset"])
    if has_rows and has_dataset:
        raise InvalidPlan("rows: there is a dataset, too; empty one of the two")
    if not (has_rows or has_dataset):
        raise InvalidPlan("dataset: give one, or rows")


def metrics(form: Mapping[str, Any]) -> Sequence[Metric]:
    """The scores that a run of this form will have."""
    more = {Metric.JUDGE: form["judge"], Metric.HUMAN: form["ask_human"]}
    return (*scores.ASKED, *(metric for metric, given in more.items() if given))
