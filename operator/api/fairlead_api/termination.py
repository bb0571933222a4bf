"""How a container of ours ends: the cause's name, its exit code and the termination message.

The trainer and the server write the message, the operator reads it from the pod's status. It is
the only way results reach the operator: logs are never parsed.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from fairlead_api.artifact import Artifact
from fairlead_api.base import StatusModel

MAX_MESSAGE_BYTES: Final = 4096  # the kubelet cuts a termination message here
_MAX_TEXT: Final = 1500


class Cause(StrEnum):
    """Why a stage ended; every end has one."""

    SUCCEEDED = "Succeeded"
    # The user's to mend: the job ends.
    USER_ERROR = "UserError"  # bad value, missing model path, broken dataset line
    DATASET_ERROR = "DatasetError"  # names dataset, file and line
    MODEL_ERROR = "ModelError"  # the base model cannot be read
    ARTIFACT_REFUSED = "ArtifactRefused"  # digests, pickle files, auto_map, paths
    # Real failures: retried up to maxRestarts.
    DIVERGED = "Diverged"  # loss is NaN or infinite
    STALLED = "Stalled"
    OUT_OF_MEMORY = "OutOfMemory"
    STORAGE_FULL = "StorageFull"
    CRASHED = "Crashed"  # an exception nobody classified; message has its last line
    # Disruptions: retried without counting.
    DISRUPTED = "Disrupted"  # SIGTERM: preemption, drain, eviction
    PEER_LOST = "PeerLost"  # this worker is well, another one isn't
    FENCED = "Fenced"  # a newer attempt has written; this one steps back
    # Named by nobody, so not known to be harmless: counts as a real failure.
    UNKNOWN = "Unknown"  # no message: the node or the container is gone


EXIT_CODES: Final[dict[Cause, int]] = {
    Cause.SUCCEEDED: 0,
    Cause.USER_ERROR: 64,
    Cause.DATASET_ERROR: 65,
    Cause.MODEL_ERROR: 66,
    Cause.ARTIFACT_REFUSED: 67,
    Cause.DIVERGED: 70,
    Cause.STALLED: 71,
    Cause.OUT_OF_MEMORY: 72,
    Cause.STORAGE_FULL: 73,
    Cause.CRASHED: 74,
    Cause.DISRUPTED: 80,
    Cause.PEER_LOST: 81,
    Cause.FENCED: 82,
    Cause.UNKNOWN: 1,
}
_CAUSE_OF_CODE: Final = {code: cause for cause, code in EXIT_CODES.items()} | {
    137: Cause.UNKNOWN,  # SIGKILL; with reason OOMKilled it is OutOfMemory
    143: Cause.DISRUPTED,
}

USER_CAUSES: Final = frozenset(
    {Cause.USER_ERROR, Cause.DATASET_ERROR, Cause.MODEL_ERROR, Cause.ARTIFACT_REFUSED}
)
DISRUPTION_CAUSES: Final = frozenset({Cause.DISRUPTED, Cause.PEER_LOST, Cause.FENCED})

_SPECIFICITY: Final = tuple(EXIT_CODES)  # a user error explains a crash, a crash a lost peer


class PreparedData(StatusModel):
    """What Prepare found and made."""

    digest: str
    """sha256 over the normalised rows: equal data, equal digest."""
    num_rows: int
    format: str


class TrainingResult(StatusModel):
    """What Train reached, told on every end once all ranks had met."""

    step: int
    """The last step; on an end without success, the step that ``checkpoint`` holds."""
    loss: float | None = None
    world_size: int
    """Sum of an all-reduce of ones over all ranks, so a fact and not a setting."""
    num_nodes: int = 1
    """How many different pods the ranks gathered from each other."""
    checkpoint: str | None = None
    """Folder of the last checkpoint, relative to the job's folder."""
    resumed_from: str | None = None
    """Folder of the checkpoint that this attempt began with."""


def _shortened(text: object) -> object:
    """Cut a long text's middle: a message must never keep its cause from being told."""
    if not isinstance(text, str) or len(text) <= _MAX_TEXT:
        return text
    head = _MAX_TEXT // 3
    return f"{text[:head]} … {text[head + 3 - _MAX_TEXT :]}"


class Termination(StatusModel):
    """One container's end."""

    cause: Cause
    message: Annotated[str, BeforeValidator(_shortened), Field(max_length=_MAX_TEXT)] = ""
    """A sentence for the user: what, where (file and line), and the way out."""
    stage: str = ""
    attempt: int = 0
    prepared: PreparedData | None = None
    training: TrainingResult | None = None
    artifact: Artifact | None = None

    def to_message(self) -> str:
        """The termination message: JSON of at most 4096 bytes; only the sentence is shortened."""
        text = self.model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= MAX_MESSAGE_BYTES or not self.message:
            return text
        half = self.message[: len(self.message) // 2]
        return self.model_copy(update={"message": half}).to_message()


def read(message: str) -> Termination | None:
    """Read a container's termination message; None where it isn't one of ours."""
    try:
        return Termination.model_validate_json(message)
    except ValidationError:
        return None


def of_container(terminated: dict[str, Any]) -> Termination:
    """Name a container's end from ``containerStatuses[].state.terminated``."""
    termination = read(terminated.get("message") or "")
    if terminated.get("reason") == "OOMKilled":
        return Termination(cause=Cause.OUT_OF_MEMORY, message="the kernel killed it: OOMKilled")
    if termination is not None:
        return termination
    code = int(terminated.get("exitCode", 1))
    cause = _CAUSE_OF_CODE.get(code, Cause.CRASHED)
    text = terminated.get("message") or f"exit code {code}"
    return Termination(cause=cause, message=text)


def most_specific(terminations: list[Termination]) -> Termination:
    """The end that explains the others; Unknown where there is none."""
    failed = [end for end in terminations if end.cause is not Cause.SUCCEEDED]
    if not failed:
        return Termination(cause=Cause.UNKNOWN, message="no container left a termination message")
    return min(failed, key=lambda end: _SPECIFICITY.index(end.cause))


Verdict = Literal["user", "disruption", "failure"]


def verdict(cause: Cause) -> Verdict:
    """What a cause means for the job: end it, retry for free, or count it."""
    if cause in USER_CAUSES:
        return "user"
    return "disruption" if cause in DISRUPTION_CAUSES else "failure"
