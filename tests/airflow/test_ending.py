"""A worker may be told to stop at any moment, and be killed while it asks whether it is over."""

import asyncio
import dataclasses
import logging
import signal
import subprocess
import sys

import pytest

from fairlead_airflow import ending, hooks, naming, taskstate
from fairlead_airflow.ending import OnKill, Work
from fairlead_airflow.triggers import ResourceTrigger

KEY = naming.TaskKey("daily", "train", "run-1")
OF = hooks.Target("FineTuneJob", "team", "units")
PATIENCE_SECONDS = 60

# Stands in for the clients of Kubernetes: its import ends when the test says so.
SLOW_HOOK = """
import os
import sys

# Not by print: the signal that answers it comes before its stream is let go, and is to print too.
os.write(1, b"loading\\n")
sys.stdin.readline()


class FairleadHook:
    def __init__(self, conn_id):
        pass

    def read(self, of):
        return None

    def apply(self, body):
        return body | {"metadata": body["metadata"] | {"uid": "1", "generation": 1}}

    def delete(self, of, uid, patience_seconds):
        print("deleted", of, flush=True)
"""
WORKER = """
import signal
import sys
from types import SimpleNamespace

import fairlead_airflow

fairlead_airflow.__path__.insert(0, sys.argv[1])

from fairlead_airflow import operators, taskstate

taskstate.ask = lambda task: sys.argv[2]
spec = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "configMapRef": {"name": "rows"}}],
    "trainer": {"type": "SFT"},
    "hyperparameters": {"maxSteps": 2, "learningRate": 2e-4},
    "storage": {"claimName": "work"},
}
train = operators.FineTuneOperator(
    task_id="train", manifest={"spec": spec}, name="units", namespace="team"
)
train.defer = lambda **_: print("waits", flush=True) or sys.exit()


def told_to_stop(*_):
    try:
        train.on_kill()
    finally:
        print("told", flush=True)


signal.signal(signal.SIGTERM, told_to_stop)
ti = SimpleNamespace(dag_id="daily", task_id="train", run_id="run-1", map_index=-1)
train.execute({"ti": ti})
"""


class KilledMeanwhile(BaseException):
    """SIGKILL, as far as a test can have it."""


@pytest.mark.parametrize(
    ("on_kill", "told"),
    [(OnKill.DELETE, True), (OnKill.SUSPEND, True), (OnKill.KEEP, False)],
    ids=["delete", "suspend", "keep"],
)
def test_way_to_end_it_by_hand_is_told_before_airflow_is_asked(on_kill, told, monkeypatch, caplog):
    def killed(*_):
        raise KilledMeanwhile

    monkeypatch.setattr(taskstate, "in_worker", killed)
    caplog.set_level(logging.INFO)
    try:
        ending.in_worker(None, KEY, Work(OF, "1", on_kill), logging.getLogger())
    except KilledMeanwhile:
        assert told
    assert ("kubectl -n team delete finetunejob/units" in caplog.text) == told


@pytest.mark.parametrize(
    ("state", "end"),
    [("failed", "deleted finetunejob/units"), ("up_for_retry", "waits")],
    ids=["over", "tried again"],
)
def test_told_to_stop_while_the_clients_load_it_ends_what_it_comes_to_make(state, end, tmp_path):
    (tmp_path / "workerhook.py").write_text(SLOW_HOOK)
    command = [sys.executable, "-c", WORKER, str(tmp_path), state]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        said = iter(worker.stdout.readline, "")
        assert "loading\n" in said
        worker.send_signal(signal.SIGTERM)
        assert "told\n" in said
        out, err = worker.communicate("go on\n", timeout=PATIENCE_SECONDS)
    assert end in out.splitlines(), err


async def test_trigger_is_not_over_before_it_has_told_what_its_kill_did(monkeypatch, capsys):
    """Airflow closes the task's log when the trigger is, and its own wait is cut off before."""
    asked, answered = asyncio.Event(), asyncio.Event()

    async def state(task):
        asked.set()
        await answered.wait()
        return "running"

    monkeypatch.setattr(taskstate, "in_triggerer", state)
    of = dataclasses.asdict(OF)
    trigger = ResourceTrigger(**of, uid="1", generation=1, fairlead_conn_id="c", task=vars(KEY))
    kill = asyncio.create_task(asyncio.wait_for(trigger.on_kill(), PATIENCE_SECONDS))
    await asked.wait()
    for _ in range(3):
        kill.cancel("user-action")
        await asyncio.sleep(0)
    await asyncio.wait({kill})
    end = asyncio.create_task(trigger.cleanup())
    for _ in range(3):
        await asyncio.sleep(0)
        end.cancel("user-action")
    is_over_early = end.done()
    answered.set()
    await asyncio.wait({end})
    assert not is_over_early
    assert "finetunejob/units goes on" in capsys.readouterr().out
