"""Takes the progress reports of training pods: the protocol of transformers' KubeflowCallback.

A report is believed only from a pod of that very job: its projected token, made for our audience,
names the pod. Any replica answers; reports never reach the planners' part of the status. Writes
are few: one a job in 15 s and 20 a second in all; the first report of 100 % doesn't wait. One
that the API server refuses is dropped, one that it couldn't take waits for its job's next turn.
"""

import asyncio
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
from fairlead_operator.kube import Cluster
from fairlead_operator.plan import Manifest
from fairlead_operator.store import Store

logger: Final = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 64 * 1024
JOB_SECONDS: Final = 15.0
WRITES_PER_SECOND: Final = 20.0
ROUTE: Final = names.progress_path("{namespace}", "{job}")

Place = tuple[str, str]
"""Namespace and name of a FineTuneJob."""


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
    """Told of each report and each write."""

    def reported(self, code: int) -> None:
        """Count a report by the code of its answer."""
        ...

    def wrote_progress(self, outcome: str) -> None:
        """Count a write."""
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


def _with_steps(progress: Progress, before: Progress | None) -> Progress:
    """Keep the steps that an earlier report told: the last one carries the percentage alone."""
    if progress.total_steps or before is None or not before.total_steps:
        return progress
    step = before.total_steps if progress.percent == 100 else before.step
    return progress.model_copy(update={"step": step, "total_steps": before.total_steps})


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


class Writer:
    """Writes the newest progress of each job, sparingly."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        counts: Counts,
        job_seconds: float = JOB_SECONDS,
        writes_per_second: float = WRITES_PER_SECOND,
    ) -> None:
        self._cluster, self._store, self._counts = cluster, store, counts
        self._job_seconds, self._gap = job_seconds, 1 / writes_per_second
        self._newest: dict[Place, Progress] = {}
        self._tried: dict[Place, tuple[float, int]] = {}  # moment and percent of the last try
        self._refused: set[Place] = set()  # jobs whose last write was refused, and so was told
        self._wake = asyncio.Event()

    def put(self, place: Place, progress: Progress) -> None:
        """Take over a job's newest progress; it is written when its turn comes."""
        self._newest[place] = _with_steps(progress, self._newest.get(place) or self._told(place))
        self._wake.set()

    def _told(self, place: Place) -> Progress | None:
        """The progress that stands in the status."""
        job = self._store.get(kube.FINETUNEJOB, *place) or {}
        told = (job.get("status") or {}).get("progress")
        return Progress.model_validate(told) if told else None

    async def forever(self) -> None:
        """Write what is due, one at a time."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            due = {place: self._due(place, now) for place in self._newest}
            ready = [place for place, moment in due.items() if moment <= now]
            for place in ready:
                await self._write(place, self._newest.pop(place))
                await asyncio.sleep(self._gap)
            if ready:
                continue
            self._wake.clear()
            self._forget(now)
            wait = min(due.values()) - now if due else None
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    async def flush(self) -> None:
        """Write all that waits, before the process ends."""
        for place, progress in tuple(self._newest.items()):
            await self._write(place, progress)

    def _due(self, place: Place, now: float) -> float:
        """When a job's turn comes; failed tries and the other replicas' writes count too.

        The first report of 100 % alone is due at once: a pod may repeat it, and a try may fail.
        """
        own, tried_percent = self._tried.get(place, (now - self._job_seconds, None))
        told = self._told(place)
        percents = (tried_percent, told.percent if told else None)
        if self._newest[place].percent == 100 and 100 not in percents:
            return now
        standing = told.last_update_time if told else None
        age = (datetime.now(UTC) - standing).total_seconds() if standing else self._job_seconds
        return max(own, now - age) + self._job_seconds

    def _forget(self, now: float) -> None:
        """Drop the memory of tries that hold nobody back any more, and of jobs that are gone."""
        old = [place for place, (at, _) in self._tried.items() if now - at > self._job_seconds]
        for place in old:
            del self._tried[place]
        gone = {p for p in self._refused if self._store.get(kube.FINETUNEJOB, *p) is None}
        self._refused -= gone

    async def _write(self, place: Place, progress: Progress) -> None:
        namespace, name = place
        self._tried[place] = (asyncio.get_running_loop().time(), progress.percent)
        job, told = self._store.get(kube.FINETUNEJOB, namespace, name), self._told(place)
        if job is None:
            self._counts.wrote_progress("gone")
            return
        standing, reported = told.last_update_time if told else None, progress.last_update_time
        if standing and reported and standing > reported:
            self._counts.wrote_progress("superseded")  # another replica has a later report
            return
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.FINETUNEJOB,
            "metadata": {"name": name, "namespace": namespace, "uid": kube.metadata(job)["uid"]},
            "status": {"progress": progress.as_object()},
        }
        try:
            written = await self._cluster.apply(
                body, subresource="status", manager=names.MANAGER_PROGRESS
            )
        except (kube.Conflict, kube.NotFound):
            self._counts.wrote_progress("gone")
        except (kube.Invalid, kube.Forbidden) as error:  # the same words would be refused again
            self._counts.wrote_progress("refused")
            if place not in self._refused:
                logger.warning("progress of FineTuneJob %s/%s dropped: %s", namespace, name, error)
            self._refused.add(place)
        except kube.ClusterError as error:
            logger.warning("progress of FineTuneJob %s/%s: %s", namespace, name, error)
            self._counts.wrote_progress("failed")
            self._newest.setdefault(place, progress)
        else:
            self._store.put(kube.FINETUNEJOB, written)
            self._refused.discard(place)
            self._counts.wrote_progress("written")


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
