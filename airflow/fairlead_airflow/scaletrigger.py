"""Waits in the triggerer until a ModelService has its replicas, on the stream that all share."""

from collections.abc import Mapping
from typing import Any

from fairlead_airflow import replicas, waiting
from fairlead_airflow.triggers import ResourceTrigger


class ScaleTrigger(ResourceTrigger):
    """As ResourceTrigger, for a number of ready replicas; yields the same event."""

    def __init__(self, *, replicas: int, **of_service: Any) -> None:
        super().__init__(**of_service)
        self.replicas = replicas

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        path, of_service = super().serialize()
        return path, of_service | {"replicas": self.replicas}

    def judge(self, body: Mapping[str, Any] | None) -> waiting.Seen:
        """What a version of the service means for its replicas."""
        return replicas.judge(body, self.uid, self.generation, self.replicas)
