"""What thousands of deferred tasks cost that wait for FineTuneJobs: shared watch against polling.

``python tests/bench/waiters [--waiters N ...] [--rounds N ...]`` has each kind of trigger wait in
a triggerer of its own, one after the other in each round, against a real API server: the shared
watch, a poller that reads its resource every 10 s, and a no-op trigger that knows no cluster. It
prints each figure with its formula, median and spread over the rounds; ``--write FOLDER`` leaves
them there as airflow.md and airflow.json. ``make bench-airflow`` is the whole of it.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[3]
HOME = tempfile.TemporaryDirectory(prefix="fairlead-airflow-")
os.environ["AIRFLOW_HOME"] = HOME.name  # before Airflow is imported, which makes its folder
sys.path.append(str(ROOT / "tests" / "bench"))  # what benches share

import figures  # noqa: E402
import jobs  # noqa: E402
import pages  # noqa: E402
import rounds  # noqa: E402

from fairlead_cluster import down, settings, state, up  # noqa: E402

NUM_RESUMED = 20
"""Tasks of a round that are resumed after their event, to measure what that takes."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cluster", default="fairlead-bench", help="made, and removed, if absent")
    parser.add_argument("--waiters", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--rounds", type=int, nargs="+", default=[5, 1], help="of each size")
    parser.add_argument("--poll-seconds", type=float, default=10.0, help="of the baseline")
    parser.add_argument("--quiet-seconds", type=float, default=11.0)
    parser.add_argument("--span-seconds", type=float, default=10.0, help="results a 1,000 waiters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="folder for airflow.md and airflow.json")
    return parser.parse_args()


@contextlib.contextmanager
def control_plane(name):
    """A control plane of that name; one that the bench made is removed."""
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(name))
    is_ours = state.read(state.layout_of(chosen.state_dir, name).state_file) is None
    opened = up.up(chosen, up.Wanted(control_plane_only=True))
    try:
        yield jobs.ControlPlane(opened)
    finally:
        if is_ours:
            down.down(chosen)


def resumed(plane, made):
    """Mean seconds that a task takes to read its result when its trigger has fired."""
    os.environ[f"AIRFLOW_CONN_{rounds.CONNECTION.upper()}"] = rounds.connection(plane.kubeconfig)
    from fairlead_airflow.operators import FineTuneOperator

    logging.getLogger("airflow.task").setLevel(logging.WARNING)
    event = {"result": "succeeded", "reason": "", "message": ""}
    begun = 0.0
    for number, job in enumerate(made[: NUM_RESUMED + 1]):
        if number == 1:  # the first one loads what a worker has loaded already
            begun = time.monotonic()
        task = FineTuneOperator(task_id="train", manifest={}, fairlead_conn_id=rounds.CONNECTION)
        of = {key: job[key] for key in ("kind", "namespace", "name")}
        key = SimpleNamespace(dag_id="bench", task_id="train", run_id="run", map_index=-1)
        assert task.execute_complete({"ti": key}, event, of=of)["uid"] == job["uid"]
    return (time.monotonic() - begun) / NUM_RESUMED


async def size(plane, options, num_waiters, num_rounds):
    """All rounds with so many waiters."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    plane.prepare(namespace)
    found = []
    async with jobs.connected(plane.kubeconfig, namespace) as there:
        made = await there.create(num_waiters + rounds.NUM_FIRST)
        for number in range(num_rounds):
            course = rounds.Course(
                num_waiters,
                options.poll_seconds,
                options.quiet_seconds,
                options.span_seconds * max(1, num_waiters / 1000),
                options.seed + number,
            )
            found.append(await one_round(plane, there, made, course, number))
    plane.remove(namespace)
    return found


async def one_round(plane, there, made, course, number):
    """Every kind once, in an order that changes from round to round."""
    kinds = [rounds.RESOURCE, rounds.POLLING, rounds.NO_OP]
    random.Random(course.seed).shuffle(kinds)
    row = {}
    for kind in kinds:
        await there.reset(made)
        row[kind] = figures.of_round(await rounds.run(kind, plane, there, made, course))
        if kind == rounds.RESOURCE:
            row[kind]["resumed"] = await asyncio.to_thread(resumed, plane, made)
        said = f"p99 {row[kind]['p99']:.3f} s, {row[kind]['requests']} requests"
        print(f"{course.num_waiters} waiters, round {number + 1}: {kind}: {said}", flush=True)
    return row


def revision():
    """The commit, and whether more than it was measured."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "airflow/fairlead_airflow", "tests/bench"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    return commit + (" with changes" if changed else "")


def main():
    options = arguments()
    if len(options.rounds) != len(options.waiters):
        sys.exit("--rounds: one number for each of --waiters")
    result = {
        "commit": revision(),
        "seed": options.seed,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "poll_seconds": options.poll_seconds,
        "quiet_seconds": options.quiet_seconds,
        "sizes": {},
    }
    with control_plane(options.cluster) as plane:
        for num_waiters, num_rounds in zip(options.waiters, options.rounds, strict=True):
            rows = asyncio.run(size(plane, options, num_waiters, num_rounds))
            result["sizes"][num_waiters] = {"rounds": rows, **figures.of_rounds(rows)}
    result["load_after"] = os.getloadavg()[0]
    text = pages.page(result)
    print(text)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "airflow.md").write_text(text)
        (options.write / "airflow.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
