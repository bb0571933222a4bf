"""The bench of the operator runs on a cluster of its own, measures each contestant and tells it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fairlead_cluster import down, settings, state

pytestmark = pytest.mark.cluster

BENCH = Path(__file__).parents[1] / "bench" / "fleet"
CLUSTER = "fairlead-bench-test"
NUM_JOBS, NUM_STAGES = 10, 3
MOST_SECONDS = 1300
"""It usually takes 200, on two busy cores 600, and what is disturbed is gone again."""
CONTESTANTS = ("bare Jobs", "Fairlead", "naive kopf")


@pytest.fixture(scope="module")
def written(ends_well, tmp_path_factory):
    """One round with few jobs, and a memory run beside few foreign pods."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    # What a killed run left would be taken for the user's own, and stay.
    down.down(dataclasses.replace(settings.load(), name=CLUSTER))
    folder = tmp_path_factory.mktemp("bench")
    size = ("--jobs", str(NUM_JOBS), "--rounds", "1", "--probes", "3", "--patience", "300")
    more = ("--seed", "7", "--write", folder)
    memory = ("--memory-jobs", str(NUM_JOBS), "--foreign-pods", "20", "--quiet-seconds", "2")
    command = (sys.executable, BENCH, "--cluster", CLUSTER, *size, *memory, *more)
    ends_well(*command, seconds=MOST_SECONDS)
    return folder


def runs_operator(process):
    """Whether it lives; a killed bench's child may stay for a while as one that nobody awaits."""
    try:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return "fairlead_operator" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def result(written):
    return json.loads((written / "operator.json").read_text())


@pytest.fixture(scope="module")
def row(result):
    (found,) = result["sizes"][str(NUM_JOBS)]["rounds"]
    return found


def test_each_part_names_what_was_measured(result):
    for part in (result["sizes"][str(NUM_JOBS)], result["memory"]):
        told = part["circumstances"]
        assert len(told["commit"]) == 40
        assert told["seed"] == 7
        assert all(told[key] for key in ("date", "cpu", "kubernetes", "kwok", "kopf", "client"))


@pytest.mark.parametrize("kind", CONTESTANTS)
def test_every_contestant_brings_all_to_running_and_to_complete(row, kind):
    for phase in ("running", "told", "complete"):
        moments = [row[kind][f"{phase}_{share}"] for share in ("p50", "p99", "last")]
        assert moments[0] > 0
        assert moments == sorted(moments)


def test_operator_writes_nothing_in_vain(row):
    ours = row["Fairlead"]
    assert ours["no_op"] == 0
    assert ours["writes_a_transition"] <= 1
    assert (ours["quiet_writes"], ours["restart_writes"]) == (0, 0)
    assert ours["refused"] == 0


def test_operators_make_the_same_children(row):
    for kind in CONTESTANTS[1:]:
        assert row[kind]["children"] == 1 + NUM_STAGES  # a ConfigMap, and a Job a stage


def test_naive_operator_does_write_in_vain(row):
    """Else the count of such writes would prove nothing."""
    assert row["naive kopf"]["no_op"] > 0
    assert row["naive kopf"]["restart_writes"] > 0


def test_memory_run_tells_both_operators(result):
    assert (result["memory"]["num_jobs"], result["memory"]["num_foreign"]) == (NUM_JOBS, 20)
    for kind in CONTESTANTS[1:]:
        found = result["memory"]["figures"][kind]
        assert 20 < found["pss"]["median"] < found["peak"]["max"]


def test_page_tells_each_figure_with_its_formula_and_each_goal(written):
    text = (written / "operator.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert all(cell.strip() for row in rows for cell in row)
    goals = [row for row in rows if row[-1] in ("yes", "**no**")]
    assert len(goals) == 10
    assert text.count("```mermaid") == 2
    for until in ("to Running", "to Complete"):
        (goal,) = [row for row in goals if row[0] == f"{until}, over bare Jobs"]
        assert (f"× {until}.**" in text) == (goal[-1] == "**no**")


def test_cluster_that_is_there_is_left_alone(cluster):
    name = cluster.kubeconfig.parent.name
    command = (sys.executable, BENCH, "--cluster", name)
    refused = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS)
    assert refused.returncode == 1
    assert f"{name!r} is there already" in refused.stderr
    assert cluster.kubeconfig.exists()


@pytest.fixture
def begun():
    """Begins a bench of the memory run only; in the end neither it nor its cluster is there."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    chosen = dataclasses.replace(settings.load(), name="fairlead-bench-kill")
    down.down(chosen)
    only_memory = ("--jobs", "--rounds", "--memory-jobs", "5", "--foreign-pods", "1")
    with subprocess.Popen(
        (sys.executable, BENCH, "--cluster", chosen.name, *only_memory)
    ) as process:
        yield process
        process.kill()
    down.down(chosen)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_killed_bench_leaves_no_operator(begun, until, how):
    async def operators():
        assert begun.poll() is None, "the bench ended by itself"
        return [each for each in psutil.Process(begun.pid).children() if runs_operator(each)]

    async def are_gone():
        return not any(map(runs_operator, found))

    found = await until(operators, "an operator runs", seconds=MOST_SECONDS)
    begun.send_signal(how)
    begun.wait(MOST_SECONDS)
    await until(are_gone, "its operator is gone")


def test_cluster_of_the_bench_is_gone(written):
    chosen = dataclasses.replace(settings.load(), name=CLUSTER)
    assert state.read(state.layout_of(chosen.state_dir, chosen.name).state_file) is None
