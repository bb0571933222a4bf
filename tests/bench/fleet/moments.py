"""When what happened: watches of the bench's own, one clock for all contestants.

Running is the first moment at which a stage's pod runs; told is when the object's own status says
so; complete is when the object's own status says that.
"""

import asyncio
import time
from collections import Counter

import client
import manifests
from plane import Stuck, naive_path

from fairlead_api import names

BARE, FAIRLEAD, NAIVE = "bare Jobs", "Fairlead", "naive kopf"
FIRST = manifests.STAGES[0]
LOOK_SECONDS = 0.05
TOLD_NAIVE = {"Preparing", "Training", "Exporting", "Succeeded"}


def jobs_path(namespace):
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def fine_tune_path(namespace):
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.FINETUNEJOB_PLURAL}"


class Moments:
    """What the watches have told of one namespace; times are of `time.monotonic`."""

    def __init__(self, there, kind, namespace):
        self._there, self._kind, self._namespace = there, kind, namespace
        self.running, self.told, self.complete, self.jobs_gone = {}, {}, {}, {}
        self.first_over = None
        """When the first Job was told to be complete."""
        self.versions = Counter()
        """Versions of each object after its first, from the first of them on."""
        self.transitions = Counter()
        """Of these versions, those that tell another phase, reason, stage or condition."""
        self._last_told = {}
        self.stage_over = asyncio.Queue()
        """Name and stage of each Job that completes."""
        self._tasks = []
        self._changed = asyncio.Event()

    async def __aenter__(self):
        pods = f"/api/v1/namespaces/{self._namespace}/pods"
        of_jobs = f"&labelSelector={names.LABEL_FINETUNEJOB}"
        running = f"{of_jobs}&fieldSelector=status.phase%3DRunning"
        await self._follow(pods, running, self._see_pod, client.METADATA)
        await self._follow(jobs_path(self._namespace), of_jobs, self._see_job)
        if self._kind == FAIRLEAD:
            await self._follow(fine_tune_path(self._namespace), "", self._see_fine_tune_job)
        if self._kind == NAIVE:
            await self._follow(naive_path(self._namespace), "", self._see_naive_job)
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, path, query, see, accept="application/json"):
        listed = await self._there.call("GET", f"{path}?limit=1")
        version = listed["metadata"]["resourceVersion"]

        async def follow():
            async for type_, item in self._there.watch(path, query, version, accept):
                see(type_, item, time.monotonic())
                self._changed.set()

        self._tasks.append(asyncio.create_task(follow()))

    def _see_pod(self, type_, pod, now):
        if type_ == "ADDED":
            labels = pod["metadata"]["labels"]
            of = (labels[names.LABEL_FINETUNEJOB], labels[names.LABEL_STAGE])
            self.running.setdefault(of, now)

    def _see_job(self, type_, job, now):
        head, status = job["metadata"], job.get("status") or {}
        if type_ == "DELETED" or head.get("deletionTimestamp"):
            self.jobs_gone.setdefault(head["name"], now)
            return
        name, stage = (head["labels"][key] for key in (names.LABEL_FINETUNEJOB, names.LABEL_STAGE))
        if self._kind == BARE and stage == FIRST and status.get("ready"):
            self.told.setdefault(name, now)
        if _is_true(status, "Complete"):
            self.first_over = self.first_over or now
            self.stage_over.put_nowait((name, stage))
            if self._kind == BARE and stage == manifests.STAGES[-1]:
                self.complete.setdefault(name, now)

    def _see_fine_tune_job(self, type_, item, now):
        name, status = self._count(type_, item), item.get("status") or {}
        if status.get("reason") == "Running":
            self.told.setdefault(name, now)
        if _is_true(status, "Complete"):
            self.complete.setdefault(name, now)

    def _see_naive_job(self, type_, item, now):
        name, phase = self._count(type_, item), (item.get("status") or {}).get("phase")
        if phase in TOLD_NAIVE:
            self.told.setdefault(name, now)
        if phase == "Succeeded":
            self.complete.setdefault(name, now)

    def _count(self, type_, item):
        name, said = item["metadata"]["name"], _said(item.get("status") or {})
        self.versions[name] += type_ == "MODIFIED"
        self.transitions[name] += type_ == "MODIFIED" and said != self._last_told.get(name)
        self._last_told[name] = said
        return name

    async def until(self, lacking, what, seconds, check):
        """Wait until the watches have told enough; fails when one of them breaks.

        ``lacking`` gives the names that are still waited for. ``check`` is called now and then and
        raises when there is nothing to wait for any more.
        """
        deadline = time.monotonic() + seconds
        while left := lacking():
            check()
            if time.monotonic() > deadline:
                some = ", ".join(map(str, sorted(left)[:3]))
                raise Stuck(f"never: {what}; {len(left)} lack, as {some}")
            await asyncio.sleep(LOOK_SECONDS)  # moments are those of events: looking may be late
            self._changed.clear()
            waiting = asyncio.create_task(self._changed.wait())
            done, _ = await asyncio.wait(
                [waiting, *self._tasks], timeout=1, return_when=asyncio.FIRST_COMPLETED
            )
            waiting.cancel()
            for task in done - {waiting}:
                task.result()


def _said(status):
    """What a status says, without its times and texts."""
    stages = [(s["name"], s["state"], s.get("attempt")) for s in status.get("stages") or []]
    conditions = [(c["type"], c["status"], c["reason"]) for c in status.get("conditions") or []]
    return status.get("phase"), status.get("reason"), stages, conditions


def _is_true(status, type_):
    conditions = status.get("conditions") or []
    return any(c["type"] == type_ and c["status"] == "True" for c in conditions)
