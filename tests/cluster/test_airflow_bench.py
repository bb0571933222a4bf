"""The bench of waiting tasks runs, measures each kind and writes what it found."""

import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

BENCH = Path(__file__).parents[1] / "bench" / "waiters"
NUM_WAITERS = 20
MOST_SECONDS = 600
KINDS = ("shared watch", "polling", "no-op")


@pytest.fixture(scope="module")
def written(cluster, ends_well, tmp_path_factory):
    """One round with few waiters, who poll often."""
    folder = tmp_path_factory.mktemp("bench")
    course = ("--poll-seconds", "1", "--quiet-seconds", "1", "--span-seconds", "1")
    size = ("--waiters", str(NUM_WAITERS), "--rounds", "1", "--seed", "7")
    command = (sys.executable, BENCH, "--cluster", cluster.name, *size, *course, "--write", folder)
    ends_well(*command, seconds=MOST_SECONDS, env=os.environ | {"JOIN_SECONDS": "2"})
    return folder


@pytest.fixture(scope="module")
def result(written):
    return json.loads((written / "airflow.json").read_text())


@pytest.fixture(scope="module")
def measured(result):
    return result["sizes"][str(NUM_WAITERS)]


def test_result_names_what_was_measured(result):
    assert len(result["commit"].split()[0]) == 40
    assert (result["seed"], result["poll_seconds"]) == (7, 1)


def test_shared_watch_asks_less_than_polling(measured):
    (row,) = measured["rounds"]
    assert row["shared watch"]["watches"] == 1
    assert row["shared watch"]["get"] == 0
    assert row["polling"]["get"] > NUM_WAITERS
    assert row["no-op"]["requests"] == 0
    assert measured["compared"]["requests_ratio"]["median"] > 1


def test_every_kind_has_its_figures(measured):
    for kind in KINDS:
        assert 0 < measured[kind]["p50"]["median"] <= measured[kind]["p99"]["median"]
        assert measured[kind]["p99"]["median"] <= measured[kind]["stored"]["max"] + 2


def test_page_tells_each_figure_with_its_formula_and_each_goal(written):
    text = (written / "airflow.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert all(cell.strip() for row in rows for cell in row)
    goals = [row for row in rows if row[-1] in ("yes", "**no**")]
    assert len(goals) == 4


def test_cluster_that_was_there_before_is_there_after(written, kubectl):
    kubectl("version")
