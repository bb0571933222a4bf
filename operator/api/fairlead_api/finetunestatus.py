"""The status of a FineTuneJob: what became of it, stage by stage.

Written by the operator, but for ``progress``, which has a field manager of its own.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fairlead_api.artifact import Artifact
from fairlead_api.base import Condition, StatusModel, Timestamp


class Stage(StrEnum):
    """The stages of a job, in order; each is a batch/v1 Job per attempt."""

    PREPARE = "Prepare"
    TRAIN = "Train"
    EXPORT = "Export"


class StageStatus(StatusModel):
    """One stage's course. The counters are monotone: an attempt's number is never used twice."""

    name: Stage
    state: Literal["Pending", "Running", "Succeeded", "Failed"] = "Pending"
    attempt: Annotated[int, Field(ge=0)] = 0
    """Number of the newest attempt; written before that attempt's Job is created."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Attempts that ended by a real failure."""
    disruptions: Annotated[int, Field(ge=0)] = 0
    """Attempts that ended by a preemption, a lost node or the like."""
    fruitless: Annotated[int, Field(ge=0)] = 0
    """Disruptions in a row since which no new checkpoint was heard of."""
    counted_attempt: Annotated[int, Field(ge=0)] = 0
    """Newest attempt whose end is in the counters, so that none is counted twice."""
    cause: str = ""
    """Why the newest ended attempt ended."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """What, where, and the way out."""
    start_time: Timestamp | None = None
    """When the first attempt's Job was created."""
    completion_time: Timestamp | None = None
    retry_time: Timestamp | None = None
    """Earliest moment of the next attempt."""


class Progress(StatusModel):
    """Training progress as the training process last reported it (field manager of its own)."""

    step: int = 0
    total_steps: int = 0
    epoch: float | None = None
    percent: int = 0
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    eta: str = ""
    """Time left, e.g. 1m30s."""
    last_update_time: Timestamp | None = None


class CheckpointStatus(StatusModel):
    """Where training stands in storage."""

    latest: str = ""
    """Folder of the newest checkpoint that a finished attempt told of."""
    resumed_from: str = ""
    """Folder that the newest attempt went on from."""


class Workers(StatusModel):
    """The training pods."""

    desired: int = 0
    ready: int = 0
    gpus: int = 0
    """GPUs of all worker pods together."""


class FineTuneJobStatus(StatusModel):
    """What became of the job."""

    atomic: ClassVar[bool] = False  # progress has a writer of its own; others may add conditions

    phase: Annotated[str, Field(max_length=32)] = ""
    """One word for people; programs read conditions."""
    reason: Annotated[str, Field(max_length=64)] = ""
    """The reason behind the phase, for the wide columns."""
    message: Annotated[str, Field(max_length=2048)] = ""
    """A sentence for people: what happens now, or what went wrong, where, and the way out."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    conditions: Annotated[list[Condition], Field(max_length=32)] = []
    stages: Annotated[list[StageStatus], Field(max_length=16)] = []
    progress: Progress | None = None
    checkpoint: CheckpointStatus | None = None
    workers: Workers | None = None
    prepared_digest: str = ""
    """Digest of the prepared training data."""
    artifact: Artifact | None = None
    """The trained model, once exported."""

    def as_object(self) -> dict[str, Any]:
        """The status as it is written: stages without counters at zero and without empty texts.

        As ``omitempty`` leaves them out of Kubernetes' own types. They would be most of a status,
        which the API server decodes, checks and sends to every watcher at each write.
        """
        plain = super().as_object()
        plain["stages"] = [
            {field: value for field, value in stage.items() if value not in (0, "")}
            for stage in plain["stages"]
        ]
        return plain
