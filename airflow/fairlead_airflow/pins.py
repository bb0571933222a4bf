"""Which model a ModelService answers with, pinned; pure."""

from collections.abc import Mapping
from typing import Any

from fairlead_airflow.endpoint import NotServing
from fairlead_api.modelservice import ModelService


def model(body: Mapping[str, Any] | None) -> str:
    """The pinned model by its address, and by its digest where it is an artifact.

    Empty where there is no service or nothing is pinned.
    """
    pinned = ModelService.read(body).status.model if body else None
    if pinned is None:
        return ""
    return f"{pinned.uri}@{pinned.artifact.digest}" if pinned.artifact else pinned.uri


def settled_model(body: Mapping[str, Any] | None, what: object) -> str:
    """Likewise, where all answers are that model's.

    Raises:
        NotServing: Where there is none, or another revision is on its way.
    """
    if body is None:
        raise NotServing(f"{what} is not there")
    status = ModelService.read(body).status
    if status.candidate:
        raise NotServing(
            f"{what}: revision {status.candidate} is on its way, so two models may answer: wait"
            " until it is Ready"
        )
    if not (found := model(body)):
        raise NotServing(f"{what} serves no model yet: wait until it is Ready")
    return found
