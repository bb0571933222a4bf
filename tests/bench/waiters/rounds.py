"""One round of one kind of waiter: a triggerer of its own, from its start to the last event."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jobs as control
import psutil
from cryptography.fernet import Fernet

TRIGGERER = Path(__file__).parent / "triggerer.py"
CONNECTION = "fairlead_bench"
NUM_FIRST = 10
"""Waiters that are there before the others: what they bring into memory is not a waiter's."""
SETTLE_SECONDS = 2.0
PATIENCE_SECONDS = 300
RESOURCE, POLLING, NO_OP = "shared watch", "polling", "no-op"


@dataclass(frozen=True)
class Course:
    """How a round goes."""

    num_waiters: int
    poll_seconds: float
    quiet_seconds: float
    """In which all wait and nothing happens."""
    span_seconds: float
    """In which the results arrive."""
    seed: int


def connection(kubeconfig):
    """The connection as an administrator may set it by the environment."""
    extra = {"kube_config_path": str(kubeconfig)}
    return json.dumps({"conn_type": "fairlead", "extra": extra})


class Triggerer:
    """A triggerer process, and what it tells."""

    def __init__(self, folder, kubeconfig):
        self.folder = folder
        (folder / "triggers.jsonl").touch()
        env = os.environ | {
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            f"AIRFLOW_CONN_{CONNECTION.upper()}": connection(kubeconfig),
        }
        with (folder / "log").open("w") as log:
            command = [sys.executable, str(TRIGGERER), str(folder)]
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self._seen = {}

    def add(self, triggers):
        """Store triggers: (id, class path, arguments)."""
        lines = [
            json.dumps({"id": id_, "classpath": path, "kwargs": arguments}) + "\n"
            for id_, path, arguments in triggers
        ]
        with (self.folder / "triggers.jsonl").open("a") as stored:
            stored.writelines(lines)

    def told(self, file):
        """All lines of a file so far."""
        path = self.folder / file
        if path.exists():
            offset, lines = self._seen.get(file, (0, []))
            with path.open("rb") as told:
                told.seek(offset)
                whole = told.read().rpartition(b"\n")[0]
            lines += map(json.loads, whole.splitlines())
            self._seen[file] = (offset + len(whole) + bool(whole), lines)
        return self._seen.get(file, (0, []))[1]

    def state(self):
        """What the runner said last of itself."""
        return next((line for line in reversed(self.told("runner.jsonl")) if "pid" in line), {})

    async def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            log = self.folder / "log"
            failures = [line for line in self.told("events.jsonl") if "failure" in line]
            assert not failures, failures[0]["failure"]
            is_well = self._process.poll() is None and time.monotonic() < deadline
            assert is_well, f"never came true: {what}; {log.read_text()[-4000:]}"
            await asyncio.sleep(0.1)

    async def runs(self, num_triggers, num_waiters):
        def there():
            state = self.state()
            return (
                state.get("num_triggers") == num_triggers
                and state.get("num_waiters") == num_waiters
            )

        await self.until(there, f"{num_triggers} triggers run")

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def serialized(kind, job, course, draw):
    """Class path and arguments of a trigger, as they are stored."""
    if kind == NO_OP:
        return "baselines.NoOpTrigger", {"seconds": draw.uniform(0, course.span_seconds)}
    arguments = job | {"fairlead_conn_id": CONNECTION}
    if kind == RESOURCE:
        task = {"dag_id": "bench", "task_id": "train", "run_id": job["name"], "map_index": -1}
        return "fairlead_airflow.triggers.ResourceTrigger", arguments | {"task": task}
    first = draw.uniform(0, course.poll_seconds)
    more = {"first": first, "seconds": course.poll_seconds}
    return "baselines.PollingTrigger", arguments | more


async def run(kind, plane, there, made, course):
    """Measure one round; what came of it."""
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        triggerer = Triggerer(Path(folder), plane.kubeconfig)
        try:
            return await _measured(kind, plane, there, made, course, triggerer)
        finally:
            triggerer.stop()


async def _measured(kind, plane, there, made, course, triggerer):
    draw = random.Random(course.seed)
    begun = control.now()
    stored = [(id_, *serialized(kind, job, course, draw)) for id_, job in enumerate(made)]
    of_watch = int(kind == RESOURCE)
    triggerer.add(stored[:NUM_FIRST])
    await triggerer.runs(NUM_FIRST, NUM_FIRST * of_watch)
    await asyncio.sleep(course.poll_seconds if kind == POLLING else SETTLE_SECONDS)
    pid = triggerer.state()["pid"]
    before = Cost.of(pid, plane.server_pid)
    triggerer.add(stored[NUM_FIRST:])
    await triggerer.runs(len(made), len(made) * of_watch)
    await asyncio.sleep(SETTLE_SECONDS)
    waiting = Cost.of(pid, plane.server_pid)
    await asyncio.sleep(course.quiet_seconds)
    quiet = Cost.of(pid, plane.server_pid)
    num_watches = triggerer.state()["num_watches"]
    conditions, write_seconds = await _fire(kind, there, made, course, triggerer)
    await triggerer.until(
        lambda: len(triggerer.told("events.jsonl")) >= len(made), "every trigger has fired"
    )
    end = Cost.of(pid, plane.server_pid)
    fired = {line["id"]: line["fired"] for line in triggerer.told("runner.jsonl") if "id" in line}
    ends = triggerer.told("events.jsonl")
    succeeded = [line for line in ends if line.get("event", {}).get("result") == "succeeded"]
    # One event each, and nothing but success: else the figures are of something else.
    assert sorted(line["id"] for line in succeeded) == list(range(len(made))), ends[:3]
    return {
        "to_event": sorted(fired[id_] - at for id_, at in conditions.items()),
        "to_stored": sorted(line["at"] - conditions[line["id"]] for line in ends),
        "write_seconds": write_seconds,
        "bytes_first": before.num_bytes,
        "bytes_all": quiet.num_bytes,
        "cpu_quiet": quiet.cpu - waiting.cpu,
        "server_cpu_quiet": quiet.server_cpu - waiting.server_cpu,
        "cpu": end.cpu - before.cpu,
        "server_cpu": end.server_cpu - before.server_cpu,
        "seconds": end.at - before.at,
        "num_watches": num_watches,
        "requests": plane.requests(there.namespace, begun),
    }


async def _fire(kind, there, made, course, triggerer):
    """Let all conditions come true; the moment of each trigger's, and how long writes took."""
    if kind == NO_OP:
        os.kill(triggerer.state()["pid"], signal.SIGUSR1)
        told = "runner.jsonl"
        await triggerer.until(
            lambda: any("begun" in line for line in triggerer.told(told)), "no-op triggers begin"
        )
        (begun,) = [line["begun"] for line in triggerer.told(told) if "begun" in line]
        lines = (triggerer.folder / "triggers.jsonl").read_text().splitlines()
        stored = map(json.loads, lines)
        return {trigger["id"]: begun + trigger["kwargs"]["seconds"] for trigger in stored}, [0.0]
    draw = random.Random(course.seed)  # another order than that of the first looks
    draw.shuffle(made := list(enumerate(made)))
    seconds = {job["name"]: draw.uniform(0, course.span_seconds) for _, job in made}
    written = await there.finish(seconds)
    sent = {id_: written[job["name"]][0] for id_, job in made}
    return sent, sorted(answered - begun for begun, answered in written.values())


@dataclass(frozen=True)
class Cost:
    """What a triggerer's runner and the API server have taken so far."""

    at: float
    num_bytes: int
    cpu: float
    server_cpu: float

    @classmethod
    def of(cls, pid, server_pid):
        runner = psutil.Process(pid)
        return cls(
            time.monotonic(), runner.memory_info().rss, cpu_seconds(pid), cpu_seconds(server_pid)
        )


def cpu_seconds(pid):
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system
