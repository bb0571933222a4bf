"""Airflow's triggerer without its database: ``python triggerer.py FOLDER`` runs stored triggers.

Supervisor and runner are Airflow's own, in two processes as in production; only what they ask of
the metadata database is answered from files:

- ``triggers.jsonl``: {"id", "classpath", "kwargs"} a line, as the table of triggers holds them;
  lines may be added at any time;
- ``events.jsonl``: {"id", "at", "event" | "failure"} a line, when the supervisor has it, which is
  when Airflow would write it to the database and so let the task go on;
- ``runner.jsonl``: {"id", "fired"} when a trigger yielded its event; and from time to time
  {"pid", "at", "num_triggers", "num_watches", "num_waiters", "num_lists"}.

JOIN_SECONDS in the environment: how long nobody must have joined the shared watch before it asks.
A machine that is busy with other things stalls for longer than the provider allows.

Moments are those of the machine's monotonic clock. SIGUSR1 to the runner begins the no-op
triggers' time; SIGTERM ends all.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path

from airflow.executors import workloads
from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor
from airflow.models.trigger import Trigger

REPORT_SECONDS = 0.5


class Lines:
    """A file of JSON lines; each is there when ``write`` returns."""

    def __init__(self, path):
        self._file = path.open("a", buffering=1)

    def write(self, **line):
        self._file.write(json.dumps(line) + "\n")


class Stamped(deque):
    """The runner's queue of events; notes when each came."""

    def __init__(self, lines):
        super().__init__()
        self._lines = lines

    def append(self, entry):
        self._lines.write(id=entry.trigger_id, fired=time.monotonic())
        super().append(entry)


class MeasuredRunner(TriggerRunner):
    """Airflow's runner, which also says how it stands."""

    def __init__(self, folder):
        super().__init__()
        self._lines = Lines(folder / "runner.jsonl")
        self.events = Stamped(self._lines)

    async def arun(self):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._begin)
        reporting = asyncio.create_task(self._report())
        await super().arun()
        reporting.cancel()

    def _begin(self):
        import baselines

        baselines.begun().set()
        self._lines.write(begun=time.monotonic())

    async def _report(self):
        while True:
            self._lines.write(
                pid=os.getpid(), at=time.monotonic(), num_triggers=len(self.triggers), **watched()
            )
            await asyncio.sleep(REPORT_SECONDS)


def watched():
    """Waiters and lists of this process's shared watches."""
    triggers = sys.modules.get("fairlead_airflow.triggers")
    of_loop = triggers._watches.get(asyncio.get_running_loop(), {}) if triggers else {}
    return {
        "num_watches": sum(shared.num_waiters > 0 for shared in of_loop.values()),
        "num_waiters": sum(shared.num_waiters for shared in of_loop.values()),
        "num_lists": sum(shared.num_lists for shared in of_loop.values()),
    }


class FileSupervisor(TriggerRunnerSupervisor):
    """Airflow's supervisor; the table of triggers is a file."""

    def load_triggers(self):
        """Hand what was added since to the runner."""
        while True:
            before = STORED.tell()
            line = STORED.readline()
            if not line.endswith("\n"):  # the end, or a line that is still being written
                STORED.seek(before)
                return
            stored = json.loads(line)
            self.creating_triggers.append(
                workloads.RunTrigger(
                    id=stored["id"],
                    classpath=stored["classpath"],
                    encrypted_kwargs=Trigger.encrypt_kwargs(stored["kwargs"]),
                )
            )

    def on_trigger_event(self, trigger_id, event):
        EVENTS.write(id=trigger_id, at=time.monotonic(), event=event.payload)

    def on_trigger_failure(self, trigger_id, exc):
        EVENTS.write(id=trigger_id, at=time.monotonic(), failure="".join(exc or ["no event"]))

    def heartbeat(self):
        """No other triggerer asks whether this one lives."""

    def clean_unused(self):
        """What has fired stays in the file."""

    def emit_metrics(self):
        """There is nobody to send them to."""

    @classmethod
    def run_in_process(cls):
        if seconds := os.environ.get("JOIN_SECONDS"):
            from fairlead_airflow import watch

            watch.JOIN_SECONDS, watch.LONGEST_JOIN_SECONDS = float(seconds), 60.0
        MeasuredRunner(FOLDER).run()


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    STORED = (FOLDER / "triggers.jsonl").open()
    EVENTS = Lines(FOLDER / "events.jsonl")
    supervisor = FileSupervisor.start(capacity=1_000_000)

    def stop(*_):
        supervisor.stop = True

    signal.signal(signal.SIGTERM, stop)
    supervisor.run()
    supervisor.kill(escalation_delay=10, force=True)
