"""Writes the newest progress of each job to its status, sparingly, whichever replica heard of it.

Writes are few: one a job in 15 s over all replicas and 20 a second in all; the first report of
100 % doesn't wait. Each carries the version that it was decided on: a report that another replica
has overtaken meanwhile is dropped, and an edit that this replica hasn't heard of isn't hidden by
the answer. One that the API server refuses is dropped, one that it couldn't take waits for its
job's next turn.
"""

import asyncio
import logging
from datetime import datetime
from typing import Final, Protocol

from fairlead_api import names
from fairlead_api.finetunestatus import Progress
from fairlead_operator import kube
from fairlead_operator.kube import Cluster
from fairlead_operator.plan import Manifest
from fairlead_operator.store import Store

logger: Final = logging.getLogger(__name__)

JOB_SECONDS: Final = 15.0
WRITES_PER_SECOND: Final = 20.0
TRIES: Final = 5
"""Of one write; each loses to another write of the same job in between."""

Place = tuple[str, str]
"""Namespace and name of a FineTuneJob."""


class Counts(Protocol):
    """Told of each write."""

    def wrote_progress(self, outcome: str) -> None:
        """Count a write."""
        ...


def _with_steps(progress: Progress, before: Progress | None) -> Progress:
    """Keep the steps that an earlier report told: the last one carries the percentage alone."""
    if progress.total_steps or before is None or not before.total_steps:
        return progress
    step = before.total_steps if progress.percent == 100 else before.step
    return progress.model_copy(update={"step": step, "total_steps": before.total_steps})


def told(job: Manifest | None) -> Progress | None:
    """The progress that stands in a job's status."""
    standing = ((job or {}).get("status") or {}).get("progress")
    return Progress.model_validate(standing) if standing else None


def _moment(progress: Progress | None) -> datetime | None:
    return progress.last_update_time if progress else None


def _is_older(progress: Progress, standing: Progress | None) -> bool:
    ours, theirs = progress.last_update_time, _moment(standing)
    return ours is not None and theirs is not None and theirs > ours


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
        self._uids: dict[Place, str] = {}  # of the jobs that the newest reports are about
        self._tried: dict[Place, tuple[float, int]] = {}  # moment and percent of the last try
        self._noticed: dict[Place, tuple[datetime | None, float]] = {}  # what stands, since when
        self._read: dict[Place, tuple[int, Progress | None]] = {}  # what stands, by the version
        self._refused: set[Place] = set()  # jobs whose last write was refused, and so was told
        self._wake = asyncio.Event()

    def put(self, place: Place, progress: Progress) -> None:
        """Take over a job's newest progress; it is written when its turn comes."""
        uid = self._store.uid(kube.FINETUNEJOB, *place)
        if uid is not None and self._uids.get(place) != uid:
            self._uids[place] = uid
            self._newest.pop(place, None)  # of the job before it of that name
        self._newest[place] = _with_steps(progress, self._newest.get(place) or self._told(place))
        self._wake.set()

    def _told(self, place: Place) -> Progress | None:
        """What stands; a job, which may hold its rows, is read once a version."""
        version = self._store.version(kube.FINETUNEJOB, *place)
        read = self._read.get(place)
        if read is None or read[0] != version:
            job = self._store.get(kube.FINETUNEJOB, *place)
            read = self._read[place] = (version, told(job))
        return read[1]

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
            del self._newest[place]
            await self._write(place, progress, is_last_chance=True)

    def _due(self, place: Place, now: float) -> float:
        """When a job's turn comes; failed tries and the other replicas' writes count too.

        The first report of 100 % alone is due at once: a pod may repeat it, and a try may fail.
        """
        own, tried_percent = self._tried.get(place, (now - self._job_seconds, None))
        standing = self._told(place)
        theirs = self._since(place, standing, now)
        percents = (tried_percent, standing.percent if standing else None)
        if self._newest[place].percent == 100 and 100 not in percents:
            return now
        return max(own, theirs) + self._job_seconds

    def _since(self, place: Place, standing: Progress | None, now: float) -> float:
        """When it was noticed that this progress stands.

        Its own time is that of the report, which may have waited a whole turn to be written.
        """
        moment = _moment(standing)
        noticed = self._noticed.get(place)
        if noticed is None or noticed[0] != moment:
            noticed = self._noticed[place] = (moment, now)
        return noticed[1] if standing else now - self._job_seconds

    def _forget(self, now: float) -> None:
        """Drop the memory of tries that hold nobody back any more, and of jobs that are gone."""
        old = [place for place, (at, _) in self._tried.items() if now - at > self._job_seconds]
        for place in old:
            del self._tried[place]
        known = self._refused | self._noticed.keys() | self._uids.keys() | self._read.keys()
        for place in known - self._newest.keys():
            if self._store.uid(kube.FINETUNEJOB, *place) is None:
                self._uids.pop(place, None)
                self._read.pop(place, None)
                self._refused.discard(place)
                self._noticed.pop(place, None)

    async def _write(
        self, place: Place, progress: Progress, *, is_last_chance: bool = False
    ) -> None:
        self._tried[place] = (asyncio.get_running_loop().time(), progress.percent)
        try:
            outcome = await self._try(place, progress, is_last_chance)
        except kube.NotFound:
            outcome = "gone"
        except (kube.Invalid, kube.Forbidden) as error:  # the same words would be refused again
            outcome = "refused"
            if place not in self._refused:
                logger.warning("progress of FineTuneJob %s/%s dropped: %s", *place, error)
            self._refused.add(place)
        except kube.ClusterError as error:
            outcome = "failed"
            logger.warning("progress of FineTuneJob %s/%s: %s", *place, error)
            self._newest.setdefault(place, progress)
        else:
            self._refused.discard(place)
        self._counts.wrote_progress(outcome)

    async def _try(self, place: Place, progress: Progress, is_last_chance: bool) -> str:
        """Write one report over what stands; returns what became of it.

        Raises:
            kube.ClusterError: Also Conflict, where others write all the time.
        """
        job = self._store.get(kube.FINETUNEJOB, *place)
        if job is None:
            return "gone"
        uid, known = self._uids.get(place, kube.metadata(job)["uid"]), _moment(told(job))
        for number in range(TRIES):
            if kube.metadata(job)["uid"] != uid:
                return "gone"
            standing = told(job)
            if _is_older(progress, standing):
                return "superseded"  # another replica has a later report
            is_theirs_new = _moment(standing) != known
            if is_theirs_new and progress.percent != 100 and not is_last_chance:
                self._newest.setdefault(place, progress)
                return "postponed"  # another replica wrote in this turn
            try:
                written = await self._cluster.apply(
                    _patch(job, progress), subresource="status", manager=names.MANAGER_PROGRESS
                )
            except kube.Conflict:
                if number == TRIES - 1:
                    raise
                job = await self._cluster.get(kube.FINETUNEJOB, *place)
                continue
            if number == 0:
                # Else it may hold an edit of which the watch has yet to tell.
                self._store.put(kube.FINETUNEJOB, written)
            return "written"
        raise AssertionError("the last try returns or raises")


def _patch(job: Manifest, progress: Progress) -> Manifest:
    """The status as it should be, on condition that the job is as it was read."""
    head = kube.metadata(job)
    kept = ("name", "namespace", "uid", "resourceVersion")
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {part: head[part] for part in kept},
        "status": {"progress": progress.as_object()},
    }
