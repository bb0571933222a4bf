"""What a task hands on: small, from the status alone; pure."""

from collections.abc import Mapping
from typing import Any

from fairlead_api import base, names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService


def of_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Name, uid and what came of it: ``artifact`` and ``progress``, or ``url`` and ``model``."""
    metadata = body["metadata"]
    own = {
        "kind": body["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    more: dict[str, base.StatusModel | None]
    if body["kind"] == names.FINETUNEJOB:
        status = FineTuneJob.read(body).status
        more = {"artifact": status.artifact, "progress": status.progress}
    else:
        served = ModelService.read(body).status
        own["url"] = served.url
        more = {"model": served.model}
    plain = {
        key: None if value is None else value.model_dump(mode="json", by_alias=True)
        for key, value in more.items()
    }
    return own | plain
