"""The command searches, writes what it counted, keeps a trace and lets it happen again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead_model.campaign import shares
from fairlead_model.scenarios import SCENARIOS

TOOL = Path(__file__).parent / "fairlead_model"


def call(*arguments):
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_search_writes_what_it_counted(tmp_path):
    file = tmp_path / "model.json"
    scenarios = ["train-users", "serve-users"]  # a process each
    chosen = ["--scenario", *scenarios, "--processes", 2]
    done = call("--states", 400, "--seed", 5, *chosen, "--write", file)
    assert done.returncode == 0, done.stderr
    told = json.loads(file.read_text())
    assert set(told["scenarios"]) == set(scenarios)
    assert told["states"] == sum(each["states"] for each in told["scenarios"].values()) >= 400
    assert (told["violations"], told["seed"]) == (0, 5)
    assert {"commit", "transitions", "plans", "date"} <= told.keys()
    assert all(each["depth"] > 0 for each in told["scenarios"].values())


def test_violation_is_kept_and_happens_again(tmp_path):
    found = call("--bug", "retry never asked for", "--states", 5000, "--traces", tmp_path)
    assert found.returncode == 1, found.stderr
    trace = tmp_path / "violation-train-pods.json"
    assert f"--replay {trace}" in found.stdout
    again = call("--replay", trace)
    assert again.returncode == 1
    harm = json.loads(trace.read_text())["harm"]
    assert again.stdout.splitlines()[-1] == harm
    sound = json.loads(trace.read_text()) | {"bug": ""}
    trace.write_text(json.dumps(sound))
    mended = call("--replay", trace)
    assert (mended.returncode, mended.stdout.splitlines()[-1]) == (
        0,
        "nothing is wrong with it (any more)",
    )


def test_help_tells_of_every_option():
    done = call("--help")
    assert done.returncode == 0
    for option in ("--states", "--seed", "--scenario", "--bug", "--write", "--replay", "--traces"):
        assert option in done.stdout


@pytest.mark.parametrize("states", [1, 10, 1_000_000])
def test_shares_make_up_what_is_asked_for(states):
    parts = shares(sorted(SCENARIOS), states)
    assert states <= sum(parts.values()) < states + len(SCENARIOS)
    assert set(parts) == set(SCENARIOS)
