"""One course of one contestant: N jobs to Running, at rest, restarted, suspended, to Complete."""

import asyncio
import contextlib
import json
import time
from dataclasses import asdict, dataclass

import account
import client
import manifests
from contestants import QUIET_WINDOW_SECONDS, Memory
from moments import BARE, FAIRLEAD, FIRST, NAIVE, Moments, fine_tune_path, jobs_path
from plane import NAMESPACES, PATIENCE_SECONDS, Stuck, naive_path, until

ACCOUNTS = {FAIRLEAD: "fairlead", NAIVE: "naive"}
JOB, PROBE, WARM = "job", "probe", "warm"


@dataclass(frozen=True)
class Course:
    """How a course goes."""

    num_jobs: int
    num_probes: int = 50
    """Further jobs that are suspended, one after the other, to see how long that takes."""
    quiet_seconds: float = 10.0
    """In which all jobs run and nothing happens."""
    to_complete: bool = True
    """Whether jobs complete; else the course ends when all run."""
    patience_seconds: float = PATIENCE_SECONDS


class Run:
    """A course under way."""

    def __init__(self, plane, kind, operator, course, texts):
        self.plane, self.kind, self.operator, self.course = plane, kind, operator, course
        self.there, self.texts = plane.there, texts
        self.found = {"num_deaths": 0, "num_failed": 0}

    async def whole(self):
        """Run the course; what was measured."""
        self.plane.play(ends=False)
        self.namespace = await self.plane.namespace("fleet")
        try:
            async with Moments(self.there, self.kind, self.namespace) as self.moments:
                failed = self.there.num_failed
                await self._measured()
                self.found["num_failed"] += self.there.num_failed - failed
        except Stuck as stuck:
            raise Stuck(f"{stuck}\n{await self._state()}") from None
        finally:
            if self.operator:
                self.operator.kill()
        return self.found

    async def _state(self):
        """What stands in the namespace, as the API server tells it now, and the last words."""
        told = []
        paths = (self._path(), jobs_path(self.namespace), f"{NAMESPACES}/{self.namespace}/pods")
        for path in dict.fromkeys(paths):
            for item in (await self.there.call("GET", f"{path}?limit=5"))["items"]:
                told.append(f"{item['metadata']['name']}: {json.dumps(item.get('status'))[:600]}")
        words = self.operator.log.read_text()[-2000:] if self.operator else ""
        running, seen = len(self.moments.running), len(self.moments.told)
        return "\n".join([f"heard of: {running} running, {seen} told", *told, words])

    async def _measured(self):
        self.begun = self._mark()
        if self.operator:
            self.operator.start()
            await self.operator.ready()
        await self._create([f"{WARM}-0"])
        await self._runs([f"{WARM}-0"])
        names = [f"{JOB}-{number:05d}" for number in range(self.course.num_jobs)]
        await self._to_running(names)
        if self.operator:
            await self._at_rest()
            await self._restarted()
            await self._suspended()
        if self.course.to_complete:
            await self._to_complete(names)
        if self.operator:
            self._count()

    def _path(self):
        paths = {BARE: jobs_path, FAIRLEAD: fine_tune_path, NAIVE: naive_path}
        return paths[self.kind](self.namespace)

    def _body(self, name):
        if self.kind == BARE:
            return manifests.child(self.texts[FIRST], name)
        return (manifests.fine_tune_job if self.kind == FAIRLEAD else manifests.naive_job)(name)

    async def _create(self, names):
        await self.there.create_all(self._path(), map(self._body, names))

    async def _runs(self, names):
        """Wait until every one of them has a running pod, and says so."""
        every, moments = set(names), self.moments

        def lacking():
            return {n for n in every if (n, FIRST) not in moments.running or n not in moments.told}

        await self._until(lacking, f"all {len(names)} run")

    async def _until(self, lacking, what, driver=None):
        def check():
            if self.operator:
                self.operator.check()
            if driver and driver.done():
                driver.result()

        await self.moments.until(lacking, what, self.course.patience_seconds, check)

    async def _to_running(self, names):
        """From the first request to the last pod's running."""
        before = Cost.of(self)
        begun = time.monotonic()
        await self._create(names)
        created = time.monotonic() - begun
        await self._runs(names)
        await self._level()
        running, told = self.moments.running, self.moments.told
        self.found |= {
            "created": created,
            "running": sorted(running[name, FIRST] - begun for name in names),
            "told": sorted(told[name] - begun for name in names),
            **Cost.of(self).since(before, "running"),
        }

    async def _level(self):
        """Wait until the operator is level; as long for none, as the control plane never rests."""
        if self.operator:
            await self.operator.level()
        else:
            await asyncio.sleep(QUIET_WINDOW_SECONDS)

    async def _at_rest(self):
        """Nothing happens: what the operator takes and writes all the same."""
        before, mark = Cost.of(self), self._mark()
        await asyncio.sleep(self.course.quiet_seconds)
        self.found |= {
            **Cost.of(self).since(before, "quiet"),
            "quiet_writes": self._writes(mark),
            "memory_running": asdict(Memory.of(self.operator.pid)),
        }

    async def _restarted(self):
        """Killed and started again while every object is quiet."""
        before = self.operator.cpu()
        self.operator.kill()
        mark, begun = self._mark(), time.monotonic()
        self.operator.start()
        await self.operator.ready()
        await until(lambda: self._watches(mark), f"{self.kind} watches again")
        await self.operator.has_looked_at(self.course.num_jobs + 1)
        level = await self.operator.level()
        cpu = self.operator.cpu() - before
        await asyncio.sleep(self.course.quiet_seconds)
        self.found |= {
            "restart_seconds": level - begun,
            "restart_cpu": cpu,
            "restart_writes": self._writes(mark),
            "memory_restarted": asdict(Memory.of(self.operator.pid)),
        }

    async def _suspended(self):
        """From the change of a spec to that of a child: further jobs are suspended."""
        probes = [f"{PROBE}-{number:03d}" for number in range(self.course.num_probes)]
        await self._create(probes)
        await self._runs(probes)
        await self.operator.level()
        sent, gone = {}, self.moments.jobs_gone
        for name in probes:
            child = f"{name}-{FIRST}-a1"
            sent[child] = time.monotonic()
            body = {"spec": {"suspend": True}}
            await self.there.call("PATCH", f"{self._path()}/{name}", body, kind=client.MERGE)
            await asyncio.sleep(0.02)
        await self._until(lambda: sent.keys() - gone.keys(), "Jobs of suspended jobs are gone")
        self.found["suspended"] = sorted(gone[child] - at for child, at in sent.items())
        for name in probes:
            await self.there.call("DELETE", f"{self._path()}/{name}")
        await self.operator.level()
        self.found["memory_suspended"] = asdict(Memory.of(self.operator.pid))

    async def _to_complete(self, names):
        """From the first pod's end to the last object's Complete; pods end from now on."""
        before, moments = Cost.of(self), self.moments
        async with self._driven() as driver:
            self.plane.play(ends=True)
            wanted = set(names)
            await self._until(lambda: wanted - moments.complete.keys(), "all complete", driver)
        await self._level()
        begun = moments.first_over
        self.found |= {
            "complete": sorted(moments.complete[name] - begun for name in names),
            **Cost.of(self).since(before, "complete"),
        }
        if self.operator:
            self.found["memory_complete"] = asdict(Memory.of(self.operator.pid))

    @contextlib.asynccontextmanager
    async def _driven(self):
        """Drive the chain of bare Jobs meanwhile; an operator does that itself."""
        if self.operator:
            yield None
            return
        driver = asyncio.create_task(self._drive())
        try:
            yield driver
        finally:
            driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await driver

    async def _drive(self):
        """What a chain of bare Jobs takes at least: the next one as soon as one is complete."""
        seen = set()
        async with asyncio.TaskGroup() as group:
            while True:
                name, stage = await self.moments.stage_over.get()
                if (name, stage) in seen or stage == manifests.STAGES[-1]:
                    continue
                seen.add((name, stage))
                following = manifests.STAGES[manifests.STAGES.index(stage) + 1]
                body = manifests.child(self.texts[following], name)
                group.create_task(self.there.call("POST", self._path(), body))

    async def _watches(self, since):
        """Whether its watch of Jobs has begun since: it has listed them by then."""
        self.operator.check()
        return any(
            event["verb"] == "watch" and event["objectRef"]["resource"] == "jobs"
            for event in self._events(since)
        )

    def _writes(self, since):
        """Writes of the operator since a mark, by verb and resource."""
        found = {}
        for event in self._events(since):
            if account.is_write(event) and event["stage"] == "ResponseComplete":
                what = event["objectRef"]
                key = " ".join(filter(None, (
                    event["verb"], what["resource"], what.get("subresource"),
                )))  # fmt: skip
                found[key] = found.get(key, 0) + 1
        return found

    def _mark(self):
        return account.mark(self.plane.audit_folder)

    def _events(self, since):
        return account.events(self.plane.audit_folder, ACCOUNTS[self.kind], since)

    def _count(self):
        """Requests for the N jobs and their children over the whole course."""
        counts = account.of_objects(self._events(self.begun), f"{JOB}-", self.namespace)
        versions, transitions = (
            sum(count for name, count in counted.items() if name.startswith(f"{JOB}-"))
            for counted in (self.moments.versions, self.moments.transitions)
        )
        self.found["num_deaths"] = self.operator.num_deaths
        self.found["num_failed"] = sum(map(account.is_failed, self._events(self.begun)))
        # A write that changes nothing is answered with 200 and makes no version.
        self.found["requests"] = counts | {
            "versions": versions,
            "transitions": transitions,
            "no_op": counts["patches"] - versions,
            "lists": account.num_lists(self._events(self.begun)),
        }


@dataclass(frozen=True)
class Cost:
    """CPU seconds so far."""

    at: float
    operator: float
    bench: float
    plane: dict[str, float]

    @classmethod
    def of(cls, run):
        operator = run.operator.cpu() if run.operator else 0.0
        return cls(time.monotonic(), operator, time.process_time(), run.plane.cpu())

    def since(self, before, phase):
        plane = {name: value - before.plane.get(name, 0) for name, value in self.plane.items()}
        return {
            f"{phase}_seconds": self.at - before.at,
            f"{phase}_cpu": self.operator - before.operator,
            f"{phase}_bench_cpu": self.bench - before.bench,
            f"{phase}_plane_cpu": plane,
        }
