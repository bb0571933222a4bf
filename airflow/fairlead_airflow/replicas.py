"""How many replicas a scaling task asks for, and when they are there; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead_airflow import waiting
from fairlead_airflow.manifests import Manifest
from fairlead_api import names, outcome
from fairlead_api.modelservice import ModelService


class InvalidCount(ValueError):
    """Not a number of replicas; the message names the field."""


@dataclass(frozen=True)
class Wish:
    """What the task is to bring about: one of the three."""

    replicas: int | None = None
    """Exactly so many."""
    at_least: int | None = None
    """So many or more; the count before is noted, to be restored."""
    restores: bool = False
    """The count that an ``at_least`` noted."""


def count(field: str, value: object) -> int | None:
    """Read a number that may have come from a template.

    Raises:
        InvalidCount: When it is none, or below zero.
    """
    if value is None:
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise InvalidCount(f"{field}: must be a number of replicas, it is {value!r}")
    return int(text)


def patch(body: Mapping[str, Any], wish: Wish) -> Manifest | None:
    """The merge patch that brings a wish about; None where nothing is to be done.

    It holds for this version of the resource only: the API server refuses it for another.
    """
    now = ModelService.read(body).spec.replicas
    if wish.restores:
        return _restoring(body, now)
    if wish.at_least is None:
        return None if wish.replicas == now else _patch(body, replicas=wish.replicas)
    if now >= wish.at_least:
        return None  # somebody, or an autoscaler, wants as many: not ours to take back
    before, set_ = _note(body)
    # A task that runs again after more of its run were made: what was before them still is.
    first = before if before is not None and set_ == now else now
    return _patch(body, replicas=wish.at_least, before=str(first), set_=str(wish.at_least))


def judge(body: Mapping[str, Any] | None, uid: str, generation: int, wanted: int) -> waiting.Seen:
    """What a version of the service means to who waits for so many ready replicas."""
    seen = waiting.judge(body, uid, generation)
    if body is None or not isinstance(seen, outcome.Waiting | outcome.Succeeded):
        return seen
    service = ModelService.read(body)
    ready = service.status.ready_replicas
    line = f"{ready} of {wanted} replicas ready"
    if service.status.observed_generation < max(generation, service.metadata.generation):
        return outcome.Waiting(f"{line}; the operator has not seen this version yet")
    if ready >= wanted:
        return outcome.Succeeded(line)
    if service.spec.replicas < wanted:
        message = f"{line}, and spec.replicas was set to {service.spec.replicas} meanwhile"
        return outcome.Failed("Rescaled", message)
    return outcome.Waiting(line)


def _restoring(body: Mapping[str, Any], now: int) -> Manifest | None:
    if names.ANNOTATION_REPLICAS not in (body["metadata"].get("annotations") or {}):
        return None
    before, set_ = _note(body)
    # Whoever has scaled it since knows better than the note.
    replicas = before if set_ in (None, now) else None
    return _patch(body, replicas=replicas, before=None, set_=None)


def _note(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    annotations = body["metadata"].get("annotations") or {}
    keys = (names.ANNOTATION_REPLICAS, names.ANNOTATION_REPLICAS_SET)
    before, set_ = (annotations.get(key) for key in keys)
    return _number(before), _number(set_)


def _number(text: str | None) -> int | None:
    """A note that somebody has made unreadable is none."""
    return int(text) if text and text.isascii() and text.isdigit() else None


def _patch(body: Mapping[str, Any], replicas: int | None, **notes: str | None) -> Manifest:
    metadata: Manifest = {key: body["metadata"][key] for key in ("uid", "resourceVersion")}
    if notes:
        metadata["annotations"] = {
            names.ANNOTATION_REPLICAS: notes["before"],
            names.ANNOTATION_REPLICAS_SET: notes["set_"],
        }
    changed: Manifest = {} if replicas is None else {"spec": {"replicas": replicas}}
    return {"metadata": metadata} | changed
