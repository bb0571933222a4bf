"""Thousands of FineTuneJobs on simulated nodes: Fairlead against bare Jobs and a naive operator.

``python tests/bench/fleet [--jobs N ...] [--rounds N ...] [--foreign-pods N]`` lets each
contestant bring N objects to Running and to Complete on one control plane, one after the other in
each round, and measures times, requests by the audit log, CPU and memory; then memory once more
beside others' pods. It prints each figure with its formula, median and spread over the rounds;
``--write FOLDER`` leaves them there as operator.md and operator.json. ``make bench-operator`` is
the whole of it.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# What benches share, and how the pods of the proof harness end.
sys.path += [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "chaos")]

import client  # noqa: E402
import contestants  # noqa: E402
import course  # noqa: E402
import figures  # noqa: E402
import manifests  # noqa: E402
import pages  # noqa: E402
import plane as planes  # noqa: E402
from moments import BARE, FAIRLEAD, NAIVE  # noqa: E402

from fairlead_cluster import pins  # noqa: E402

MEASURED = ("operator", "cluster", "tests/bench")
SECONDS_A_JOB, SECONDS_A_ROUND = 0.36, 110
"""Of all contestants together, clearing included, on two quiet cores."""
FOREIGN_SECONDS = 0.004


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cluster", default="fairlead-bench", help="made, and removed, if absent")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[5, 1], help="of each size")
    parser.add_argument("--foreign-pods", type=int, default=50_000, help="of the memory run; or 0")
    parser.add_argument("--memory-jobs", type=int, default=5000, help="of the memory run")
    parser.add_argument("--probes", type=int, default=50, help="jobs that are suspended")
    parser.add_argument("--quiet-seconds", type=float, default=10.0)
    parser.add_argument(
        "--patience", type=float, default=planes.PATIENCE_SECONDS, help="most seconds for a step"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="folder for operator.md and operator.json")
    options = parser.parse_args()
    if len(options.rounds) != len(options.jobs):
        parser.error("--rounds: one number for each of --jobs")
    return options


def estimate(options):
    """Seconds that the whole takes on two quiet cores."""
    sizes = zip(options.jobs, options.rounds, strict=True)
    seconds = sum(rounds * (SECONDS_A_ROUND + SECONDS_A_JOB * jobs) for jobs, rounds in sizes)
    if options.foreign_pods:
        seconds += options.foreign_pods * FOREIGN_SECONDS
        seconds += SECONDS_A_ROUND + options.memory_jobs * SECONDS_A_JOB / 3
    return seconds


class Bench:
    """All rounds on one control plane."""

    def __init__(self, plane, options, folder):
        self.plane, self.options, self.folder = plane, options, folder
        self.num_done, self.begun = 0, time.monotonic()

    async def size(self, num_jobs, num_rounds):
        """All rounds with so many jobs."""
        rows = []
        for number in range(num_rounds):
            kinds = [BARE, FAIRLEAD, NAIVE]
            random.Random(self.options.seed + number).shuffle(kinds)
            how = self._course(num_jobs, to_complete=True)
            title = f"{num_jobs} jobs, round {number + 1} of {num_rounds}"
            rows.append({kind: await self._one(kind, how, title) for kind in kinds})
        return {"rounds": rows, **figures.of_rounds(rows)}

    async def memory(self):
        """The operators once more, to Running only, beside others' pods."""
        num_jobs, num_foreign = self.options.memory_jobs, self.options.foreign_pods
        namespace = await self.plane.namespace("foreign")
        print(f"memory run: {num_foreign} foreign pods are made", flush=True)
        path = f"{planes.NAMESPACES}/{namespace}/pods"
        await self.plane.there.create_all(path, map(manifests.foreign_pod, range(num_foreign)))
        how = self._course(num_jobs, to_complete=False)
        row = {kind: await self._one(kind, how, "memory run") for kind in (FAIRLEAD, NAIVE)}
        await self.plane.remove(namespace)
        return {
            "num_jobs": num_jobs,
            "num_foreign": num_foreign,
            "figures": figures.of_rounds([row]),
        }

    def _course(self, num_jobs, to_complete):
        num_probes, quiet = min(self.options.probes, num_jobs), self.options.quiet_seconds
        return course.Course(num_jobs, num_probes, quiet, to_complete, self.options.patience)

    async def _one(self, kind, how, title):
        """One course, gone again where it was disturbed; figures of it."""
        begun, courses = time.monotonic(), []
        texts = manifests.templates("https://localhost:8443")
        while not courses or figures.is_disturbed(courses[-1]):
            if len(courses) == figures.MOST_COURSES:
                break
            operator = await self._operator(kind, texts)
            courses.append(await course.Run(self.plane, kind, operator, how, texts).whole())
        told = figures.of_courses(courses, how.num_jobs)
        said = f"running {told['running_last']:.1f} s"
        if how.to_complete:
            said += f", complete {told['complete_last']:.1f} s"
        if operator:
            said += f", CPU {told['cpu'] * 1000:.1f} ms an object, {told['peak']:.0f} MiB"
        took, so_far = time.monotonic() - begun, (time.monotonic() - self.begun) / 60
        said += f", {told['repeats']} repeats" if told["repeats"] else ""
        line = f"{title}: {kind}: {said} (took {took:.0f} s; {so_far:.0f} min so far)"
        print(line, flush=True)
        return told

    async def _operator(self, kind, texts):
        """A contestant's operator, not started; None where it has none."""
        if kind == BARE:
            return None
        config = await self.plane.account(course.ACCOUNTS[kind], self.folder)
        if kind == FAIRLEAD:
            return contestants.Fairlead(self.folder, config)
        return contestants.Naive(self.folder, config, json.dumps(texts))


def revision():
    """The commit, and whether more than it was measured."""
    git = ["git", "-C", str(ROOT)]
    told = [["rev-parse", "HEAD"], ["status", "--porcelain", "--", *MEASURED]]
    commit, changed = (
        subprocess.run([*git, *ask], capture_output=True, text=True, check=True).stdout.strip()
        for ask in told
    )
    return commit + (" with changes" if changed else "")


def circumstances(options):
    """What has to be known beside the figures."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    modules = (ROOT / "cluster" / "go.mod").read_text()
    return {
        "commit": revision(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seed": options.seed,
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "load_before": os.getloadavg()[0],
        "kubernetes": pins.KUBERNETES_VERSION,
        "kwok": re.search(r"sigs.k8s.io/kwok (v\S+)", modules).group(1),
        "kopf": importlib.metadata.version("kopf"),
        "client": importlib.metadata.version("kubernetes"),
        "python": platform.python_version(),
        "threads": contestants.NAIVE_THREADS,
        "num_probes": options.probes,
        "quiet_seconds": options.quiet_seconds,
    }


async def run(opened, options, result):
    """Everything, into the result."""
    most = max([*options.jobs, options.memory_jobs if options.foreign_pods else 0])
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        async with client.connected(opened) as there:
            plane = planes.Plane(opened, there)
            await plane.prepare(most + options.probes)
            bench = Bench(plane, options, Path(folder))
            for num_jobs, num_rounds in zip(options.jobs, options.rounds, strict=True):
                result["sizes"][num_jobs] = await bench.size(num_jobs, num_rounds)
                save(options, result)
            if options.foreign_pods:
                result["memory"] = await bench.memory()
            await plane.clear()


def save(options, result):
    """Leave what there is so far: a run that is cut short has not been for nothing."""
    result["load_after"] = os.getloadavg()[0]
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "operator.md").write_text(pages.page(result))
        (options.write / "operator.json").write_text(json.dumps(result, indent=1) + "\n")


def main():
    options = arguments()
    result = circumstances(options) | {"sizes": {}}
    minutes = estimate(options) / 60
    print(f"this takes about {minutes:.0f} min on two quiet cores", flush=True)
    with planes.cluster(options.cluster) as opened:
        asyncio.run(run(opened, options, result))
    save(options, result)
    print(pages.page(result))


if __name__ == "__main__":
    sys.exit(main())
