"""Thousands of FineTuneJobs on simulated nodes: Fairlead against bare Jobs and a naive operator.

``python tests/bench/fleet [--jobs N ...] [--rounds N ...] [--foreign-pods N]`` lets each
contestant bring N objects to Running and to Complete, one after the other in each round, and
measures times, requests by the audit log, CPU and memory; then memory once more beside others'
pods. It prints each figure with its formula, median and spread over the rounds; ``--write FOLDER``
leaves them there as operator.md and operator.json, beside those of other sizes that stand there
already. ``make bench-operator`` is the whole of it. A quick look, one size, and the memory run
alone (it needs root; `make venv` first):

    .venv/bin/python tests/bench/fleet --jobs 100 --rounds 1 --foreign-pods 0
    .venv/bin/python tests/bench/fleet --jobs 5000 --rounds 1 --foreign-pods 0 --write FOLDER
    .venv/bin/python tests/bench/fleet --jobs --rounds --write FOLDER
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# What benches share, and how the pods of the proof harness end.
sys.path += [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "chaos")]

import contestants  # noqa: E402
import course  # noqa: E402
import figures  # noqa: E402
import manifests  # noqa: E402
import plane as planes  # noqa: E402
import results  # noqa: E402
from moments import BARE, FAIRLEAD, NAIVE  # noqa: E402

SECONDS_A_JOB, SECONDS_A_ROUND = 0.4, 60
"""Of all contestants together, roughly, on two quiet cores."""
SECONDS_TO_RUNNING, FOREIGN_SECONDS = 0.04, 0.004
"""Of a job and of a foreign pod of the memory run."""
INTERRUPTED = 130


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cluster", default="fairlead-bench", help="made for each course, and removed"
    )
    parser.add_argument(
        "--jobs", type=int, nargs="*", default=[1000, 5000], help="sizes; none: the memory run only"
    )
    parser.add_argument(
        "--rounds", type=int, nargs="*", default=[5, 1], help="one number for each of --jobs"
    )
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
    if not options.jobs and not options.foreign_pods:
        parser.error("--jobs, --foreign-pods: nothing is asked for")
    return options


def estimate(options):
    """Seconds that the whole takes on two quiet cores."""
    sizes = zip(options.jobs, options.rounds, strict=True)
    seconds = sum(rounds * (SECONDS_A_ROUND + SECONDS_A_JOB * jobs) for jobs, rounds in sizes)
    if options.foreign_pods:
        seconds += SECONDS_A_ROUND + options.foreign_pods * FOREIGN_SECONDS
        seconds += options.memory_jobs * SECONDS_TO_RUNNING
    return seconds


class Bench:
    """All rounds; each course has a control plane of its own, made anew of the same programs."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.begun = time.monotonic()

    async def size(self, num_jobs, num_rounds):
        """All rounds with so many jobs; yields what is known after each."""
        rows = []
        for number in range(num_rounds):
            kinds = [BARE, FAIRLEAD, NAIVE]
            random.Random(self.options.seed + number).shuffle(kinds)
            how = self._course(num_jobs, to_complete=True)
            title = f"{num_jobs} jobs, round {number + 1} of {num_rounds}"
            rows.append({kind: await self._one(kind, how, title) for kind in kinds})
            yield {"rounds": rows, **figures.of_rounds(rows)}

    async def memory(self):
        """The operators once more, to Running only, beside others' pods."""
        num_jobs, num_foreign = self.options.memory_jobs, self.options.foreign_pods
        how, title = self._course(num_jobs, to_complete=False), f"{num_foreign} foreign pods"
        row = {kind: await self._one(kind, how, title, num_foreign) for kind in (FAIRLEAD, NAIVE)}
        return {
            "num_jobs": num_jobs,
            "num_foreign": num_foreign,
            "figures": figures.of_rounds([row]),
        }

    def _course(self, num_jobs, to_complete):
        num_probes, quiet = min(self.options.probes, num_jobs), self.options.quiet_seconds
        return course.Course(num_jobs, num_probes, quiet, to_complete, self.options.patience)

    async def _one(self, kind, how, title, num_foreign=0):
        """One course, gone again where it was disturbed or stood still; figures of it."""
        begun, courses, num_stuck = time.monotonic(), [], 0
        print(f"{title}: {kind} begins", flush=True)
        while not courses or figures.is_disturbed(courses[-1]):
            if len(courses) + num_stuck == figures.MOST_COURSES:
                break
            try:
                courses.append(await self._once(kind, how, num_foreign))
            except planes.Stuck as stuck:
                num_stuck += 1
                if num_stuck == figures.MOST_COURSES:
                    raise
                print(f"{title}: {kind}: {stuck}", flush=True)
        told = figures.of_courses(courses, how.num_jobs, num_stuck)
        said = f"running {told['running_last']:.1f} s"
        if how.to_complete:
            said += f", complete {told['complete_last']:.1f} s"
        if kind != BARE:
            said += f", CPU {told['cpu'] * 1000:.1f} ms an object, {told['peak']:.0f} MiB"
        took, so_far = time.monotonic() - begun, (time.monotonic() - self.begun) / 60
        said += f", {told['repeats']} repeats" if told["repeats"] else ""
        line = f"{title}: {kind}: {said} (took {took:.0f} s; {so_far:.0f} min so far)"
        print(line, flush=True)
        return told

    async def _once(self, kind, how, num_foreign):
        """One course; what was measured."""
        num_pods = how.num_jobs + how.num_probes + 1
        async with planes.fresh(self.options.cluster, num_pods) as plane:
            if num_foreign:
                path = f"{planes.NAMESPACES}/{await plane.namespace('foreign')}/pods"
                await plane.there.create_all(path, map(manifests.foreign_pod, range(num_foreign)))
            texts = manifests.templates("https://localhost:8443")
            operator = await self._operator(plane, kind, texts)
            return await course.Run(plane, kind, operator, how, texts).whole()

    async def _operator(self, plane, kind, texts):
        """A contestant's operator, not started; None where it has none."""
        if kind == BARE:
            return None
        config = await plane.account(course.ACCOUNTS[kind], self.folder)
        if kind == FAIRLEAD:
            return contestants.Fairlead(self.folder, config)
        return contestants.Naive(self.folder, config, json.dumps(texts))


def circumstances(options):
    """What has to be known beside a part that begins."""
    return results.circumstances(
        options.seed,
        threads=contestants.NAIVE_THREADS,
        num_probes=options.probes,
        quiet_seconds=options.quiet_seconds,
    )


async def run(options, found):
    """Every part that is asked for, into the results."""
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        bench = Bench(options, Path(folder))
        for num_jobs, num_rounds in zip(options.jobs, options.rounds, strict=True):
            begun = circumstances(options)
            async for rounds in bench.size(num_jobs, num_rounds):
                found.of_size(num_jobs, rounds, begun)
        if options.foreign_pods:
            begun = circumstances(options)
            found.of_memory(await bench.memory(), begun)


def main():
    options = arguments()
    planes.require_absent(options.cluster)
    found = results.Results(options.write)
    minutes = estimate(options) / 60
    print(f"this takes about {minutes:.0f} min on two quiet cores", flush=True)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        asyncio.run(run(options, found))
    except KeyboardInterrupt:
        print("stopped; its cluster is gone, and rounds that were whole are kept by --write")
        return INTERRUPTED
    print(found.page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
