"""What a version of a resource means to who waits for one of its conditions; pure."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from fairlead_airflow import waiting
from fairlead_airflow.fields import InvalidField
from fairlead_api import base, conditions, names, outcome
from fairlead_api.conditions import FineTuneJobCondition, ModelServiceCondition
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService

STATUSES: Final = ("True", "False", "Unknown")
_TYPES: Final = {
    names.FINETUNEJOB: (*FineTuneJobCondition, conditions.RECONCILE_ERROR),
    names.MODELSERVICE: (*ModelServiceCondition, conditions.RECONCILE_ERROR),
}


def check(kind: str, condition: str, status: str) -> None:
    """See that the kind has such a condition: a slip would wait for ever.

    Raises:
        InvalidField: With what there is.
    """
    if kind not in _TYPES:
        raise InvalidField(f"kind: must be one of {', '.join(_TYPES)}, it is {kind!r}")
    if condition not in _TYPES[kind]:
        raise InvalidField(
            f"condition: a {kind} has {', '.join(_TYPES[kind])}, there is no {condition!r}"
        )
    if status not in STATUSES:
        raise InvalidField(f"status: must be one of {', '.join(STATUSES)}, it is {status!r}")


def judge(body: Mapping[str, Any] | None, condition: str, status: str) -> waiting.Seen:
    """Reached, failed for good, or waited for; a resource that isn't there may yet be made."""
    if body is None:
        return outcome.Waiting("it is not there yet")
    try:
        return _judge(body, condition, status)
    except ValidationError as unreadable:
        return outcome.Failed("Unreadable", base.faults(unreadable))


def _judge(body: Mapping[str, Any], condition: str, status: str) -> waiting.Seen:
    resource = (FineTuneJob if body["kind"] == names.FINETUNEJOB else ModelService).read(body)
    if isinstance(resource, ModelService) and (
        resource.status.observed_generation < resource.metadata.generation
    ):
        return outcome.Waiting("the operator has not seen this version yet")
    found = conditions.find(resource.status.conditions, condition)
    if found is None:
        return _or_failed(body, outcome.Waiting(f"{condition} is not told yet"))
    line = f"{condition} is {found.status} ({found.reason})"
    if found.status == status:
        return outcome.Succeeded(line)
    return _or_failed(body, outcome.Waiting(f"{line}, must be {status}"))


def _or_failed(body: Mapping[str, Any], seen: outcome.Waiting) -> waiting.Seen:
    whole = outcome.of_body(body)
    return whole if isinstance(whole, outcome.Failed) else seen
