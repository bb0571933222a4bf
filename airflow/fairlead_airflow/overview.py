"""What the status page shows of jobs and services, row by row; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from fairlead_api import base, names
from fairlead_api.base import Condition
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage, StageStatus
from fairlead_api.modelservice import ModelService

_HOUR: Final = 3600.0
GPU_HOURS: Final = (
    "GPU·hours = GPUs of a node × nodes × hours between the start of the job's training and its"
    " end (or now), with what it waited and tried again in between."
)


@dataclass(frozen=True)
class JobRow:
    """One FineTuneJob."""

    name: str
    namespace: str
    phase: str
    reason: str
    message: str
    percent: int | None = None
    step: str = ""
    loss: str = ""
    eta: str = ""
    gpu_hours: str = ""
    artifact: str = ""
    conditions: Sequence[Condition] = ()
    stages: Sequence[StageStatus] = ()


@dataclass(frozen=True)
class ServiceRow:
    """One ModelService."""

    name: str
    namespace: str
    phase: str
    reason: str
    message: str
    ready: str = ""
    model: str = ""
    url: str = ""
    link: str = ""
    """The url, where a browser may be sent there."""
    conditions: Sequence[Condition] = ()
    stages: Sequence[StageStatus] = ()


Row = JobRow | ServiceRow


def row(body: Mapping[str, Any], now: datetime) -> Row:
    """A resource as a row; what another version of Fairlead wrote is shown as that."""
    is_job = body["kind"] == names.FINETUNEJOB
    try:
        if is_job:
            return _job(FineTuneJob.read(body), now)
        return _service(ModelService.read(body))
    except ValidationError as unreadable:
        metadata = body["metadata"]
        kind = JobRow if is_job else ServiceRow
        return kind(
            name=metadata["name"],
            namespace=metadata["namespace"],
            phase="Unreadable",
            reason="Unreadable",
            message=base.faults(unreadable),
        )


def _job(job: FineTuneJob, now: datetime) -> JobRow:
    status, progress = job.status, job.status.progress
    return JobRow(
        name=job.metadata.name,
        namespace=job.metadata.namespace,
        phase=status.phase or "New",
        reason=status.reason,
        message=status.message,
        percent=min(100, max(0, progress.percent)) if progress else None,
        step=f"{progress.step}/{progress.total_steps}" if progress else "",
        loss=f"{progress.loss:.4g}" if progress and progress.loss is not None else "",
        eta=progress.eta if progress else "",
        gpu_hours=_gpu_hours(job, now),
        artifact=status.artifact.uri if status.artifact else "",
        conditions=status.conditions,
        stages=status.stages,
    )


def _gpu_hours(job: FineTuneJob, now: datetime) -> str:
    """Empty where no GPU was asked for, or training has not begun."""
    gpus = job.spec.resources_per_node.amount(names.GPU_RESOURCE) or 0
    train = next((stage for stage in job.status.stages if stage.name is Stage.TRAIN), None)
    if not gpus or train is None or train.start_time is None:
        return ""
    end = train.completion_time or now
    hours = max(0.0, (end - train.start_time).total_seconds()) / _HOUR
    return f"{gpus * job.spec.num_nodes * hours:.2f}"


def _service(service: ModelService) -> ServiceRow:
    status = service.status
    ready = next((each for each in status.conditions if each.type == "Ready"), None)
    return ServiceRow(
        name=service.metadata.name,
        namespace=service.metadata.namespace,
        phase=status.phase or "New",
        reason=ready.reason if ready else "",
        message=ready.message if ready else "",
        ready=f"{status.ready_replicas}/{service.spec.replicas}",
        model=status.model.uri if status.model else "",
        url=status.url,
        link=status.url if urlsplit(status.url).scheme in ("http", "https") else "",
        conditions=status.conditions,
    )
