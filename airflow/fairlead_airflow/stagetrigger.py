"""Waits in the triggerer until one stage of a FineTuneJob is done, on the stream that all share."""

from collections.abc import Mapping
from typing import Any

from fairlead_airflow import stages, waiting
from fairlead_airflow.triggers import ResourceTrigger
from fairlead_api.finetunestatus import Stage


class StageTrigger(ResourceTrigger):
    """As ResourceTrigger, for a stage; yields the same event."""

    def __init__(self, *, stage: str, **of_job: Any) -> None:
        super().__init__(**of_job)
        self.stage = Stage(stage)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        path, of_job = super().serialize()
        return path, of_job | {"stage": self.stage.value}

    def judge(self, body: Mapping[str, Any] | None) -> waiting.Seen:
        """What a version of the job means for its stage."""
        return stages.judge(body, self.uid, self.generation, self.stage)
