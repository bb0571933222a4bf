"""Takes the progress reports of training pods: the protocol of transformers' KubeflowCallback.

A report is believed only from a pod of that very job: its projected token, made for our audience,
names the pod. Any replica answers; reports never reach the planners' part of the status. What is
written of them, and when, is ``progresswriter``'s to say.
"""

import logging
from datetime import UTC, datetime
from typing import Final, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from fairlead_api import names
from fairlead_api.finetunestatus import Progress
from fairlead_operator import kube
from fairlead_operator.doorkeeper import Doorkeeper
from fairlead_operator.plan import Manifest
from fairlead_operator.progresswriter import Writer

logger: Final = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 64 * 1024
ROUTE: Final = names.progress_path("{namespace}", "{job}")


class _Report(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", populate_by_name=True)


class Metric(_Report):
    """One number, written as text."""

    name: str = Field(max_length=128)
    value: str = Field(max_length=64)


class TrainerStatus(_Report):
    """What KubeflowCallback tells."""

    last_updated_time: datetime | None = None
    progress_percentage: int | None = Field(default=None, ge=0, le=100)
    estimated_remaining_seconds: int | None = Field(default=None, ge=0, le=10**9)
    metrics: list[Metric] = Field(default=[], max_length=256)


class Report(_Report):
    """The body of a report."""

    trainer_status: TrainerStatus


class Counts(Protocol):
    """Told of each report."""

    def reported(self, code: int) -> None:
        """Count a report by the code of its answer."""
        ...


def progress_of(status: TrainerStatus, now: datetime) -> Progress:
    """A report in the words of FineTuneJob's status."""
    numbers = {metric.name: _number(metric.value) for metric in status.metrics}

    def first(*spellings: str) -> float | None:
        return next((numbers[name] for name in spellings if numbers.get(name) is not None), None)

    total, step = int(first("total_steps") or 0), first("current_step")
    if step is None:  # the last report carries the percentage alone
        step = total if status.progress_percentage == 100 else 0
    return Progress(
        step=int(step),
        total_steps=total,
        epoch=_shown(first("current_epoch", "epoch")),
        percent=status.progress_percentage or 0,
        loss=_shown(first("loss", "train_loss")),
        learning_rate=_shown(first("learning_rate")),
        tokens_per_second=_shown(first("tokens_per_second", "train_tokens_per_second")),
        eta=_eta(status.estimated_remaining_seconds),
        last_update_time=now,
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e30 else None  # JSON has no NaN and no infinity


def _shown(number: float | None) -> float | None:
    """A measured number as people read it: kubectl shows every digit that stands there."""
    return None if number is None else float(f"{number:.4g}")


def _eta(seconds: int | None) -> str:
    if seconds is None:
        return ""
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = ((hours, "h"), (minutes, "m"), (seconds % 60 if not hours else 0, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def app(doorkeeper: Doorkeeper, writer: Writer, counts: Counts) -> web.Application:
    """Serves the one route of the protocol."""

    async def answer(request: web.Request) -> web.Response:
        namespace, job = request.match_info["namespace"], request.match_info["job"]
        try:
            await doorkeeper.admit(request, namespace, job)
            report = Report.model_validate_json(await request.read())
        except ValidationError as error:
            counts.reported(400)
            return web.Response(status=400, text=_fault(error))
        except web.HTTPException as refusal:
            counts.reported(refusal.status)
            raise
        except kube.ClusterError as error:
            logger.warning("a report of %s/%s could not be checked: %s", namespace, job, error)
            counts.reported(503)
            return web.Response(status=503, text="the API server can't be asked; try again")
        writer.put((namespace, job), progress_of(report.trainer_status, datetime.now(UTC)))
        counts.reported(200)
        return web.json_response({})

    found = web.Application(client_max_size=MAX_BODY_BYTES)
    found.router.add_post(ROUTE, answer)
    return found


def _fault(error: ValidationError) -> str:
    first: Manifest = dict(error.errors(include_url=False, include_input=False)[0])
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{where}: {first['msg']}"
