"""A stage from its command line to its exit code."""

import json
import os
import signal
import subprocess
import sys

import pytest

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import EXIT_CODES, MAX_MESSAGE_BYTES, Cause, Termination, read
from fairlead_trainer import command as trainer
from fairlead_trainer import ending, storage
from fairlead_trainer.failures import StageFailure


@pytest.fixture
def run(environment, monkeypatch, tmp_path):
    """Run a stage; returns its exit code and termination message."""

    def call(stage, attempt=1):
        for name, value in (environment | {names.ENV_ATTEMPT: str(attempt)}).items():
            monkeypatch.setenv(name, value)
        code = trainer.main([stage] if stage else [])
        message = (tmp_path / names.TERMINATION_LOG.lstrip("/")).read_text()
        end = read(message)
        assert end is not None
        assert len(message.encode()) <= MAX_MESSAGE_BYTES
        return code, end

    return call


def test_success_stands_in_storage_and_in_the_message(run, write_run, claim):
    write_run()
    code, end = run("prepare")
    assert (code, end.cause, end.attempt) == (0, Cause.SUCCEEDED, 1)
    assert end.prepared is not None
    assert end.prepared.num_rows == 1
    stored = claim / "finetunejobs/job/u1/results/prepare.json"
    assert Termination.model_validate_json(stored.read_bytes()) == end


def test_standing_result_ends_a_later_attempt_at_once(run, claim, write_run, monkeypatch):
    write_run()
    _, first = run("prepare")
    monkeypatch.setitem(trainer.RUNNERS, Stage.PREPARE, lambda _settings: pytest.fail("ran again"))
    code, again = run("prepare", attempt=2)
    assert (code, again) == (0, first)


def test_data_whose_result_was_lost_is_found_again(run, write_run, claim):
    write_run()
    _, first = run("prepare")
    (claim / "finetunejobs/job/u1/results/prepare.json").unlink()
    _, again = run("prepare", attempt=2)
    assert again.prepared == first.prepared


def test_bad_data_ends_by_dataset_file_and_line(run, claim, write_run):
    write_run(datasets=[{"name": "amounts", "inline": '{"prompt": "a", "completion": "b"}\n{'}])
    code, end = run("prepare")
    assert code == EXIT_CODES[Cause.DATASET_ERROR]
    assert end.message.startswith("dataset amounts, file inline, line 2: expected one JSON object")
    assert (end.stage, end.attempt) == ("prepare", 1)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        pytest.param(StageFailure(Cause.FENCED, "steps back"), Cause.FENCED, id="named"),
        pytest.param(OSError(28, "No space left on device"), Cause.STORAGE_FULL, id="disk"),
        pytest.param(MemoryError(), Cause.OUT_OF_MEMORY, id="memory"),
        pytest.param(KeyError("x" * 10_000), Cause.CRASHED, id="anything-else"),
    ],
)
def test_every_exception_becomes_a_cause_and_its_code(run, write_run, monkeypatch, error, cause):
    def fail(_settings):
        raise error

    write_run()
    monkeypatch.setitem(trainer.RUNNERS, Stage.EXPORT, fail)
    code, end = run("export")
    assert (code, end.cause) == (EXIT_CODES[cause], cause)


@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.EXPORT])
def test_sigterm_ends_a_stage_by_name(run, write_run, monkeypatch, stage):
    def be_told(_settings):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")

    before = signal.getsignal(signal.SIGTERM)
    write_run()
    monkeypatch.setitem(trainer.RUNNERS, stage, be_told)
    code, end = run(stage.lower())
    assert (code, end.cause) == (EXIT_CODES[Cause.DISRUPTED], Cause.DISRUPTED)
    assert signal.getsignal(signal.SIGTERM) is before


TOLD_WHILE_IT_LOADS = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "fairlead_api.termination":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Finder())
sys.argv = ["fairlead_trainer", "prepare"]
runpy.run_module("fairlead_trainer", run_name="__main__", alter_sys=True)
"""


def test_sigterm_while_the_modules_load_ends_the_stage_by_name(
    environment, write_run, claim, tmp_path
):
    write_run()
    words = [sys.executable, "-c", TOLD_WHILE_IT_LOADS]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == EXIT_CODES[Cause.DISRUPTED], done.stderr
    end = read((tmp_path / names.TERMINATION_LOG.lstrip("/")).read_text())
    assert end is not None
    assert end.cause is Cause.DISRUPTED


def test_prepare_that_is_told_to_end_leaves_nothing_half_done(run, write_run, claim, monkeypatch):
    def be_told(folder):
        os.kill(os.getpid(), signal.SIGTERM)

    write_run()
    monkeypatch.setattr(storage, "sync_tree", be_told)
    assert run("prepare")[1].cause is Cause.DISRUPTED
    assert list((claim / "finetunejobs/job/u1").iterdir()) == []


def test_missing_stage_is_a_users_error(run):
    code, end = run("")
    assert (code, end.cause) == (EXIT_CODES[Cause.USER_ERROR], Cause.USER_ERROR)


def test_only_the_first_pod_publishes(run, write_run, claim, monkeypatch):
    write_run()
    monkeypatch.setenv("PET_NODE_RANK", "1")
    succeeded = Termination(cause=Cause.SUCCEEDED, stage="Train", attempt=1)
    monkeypatch.setitem(trainer.RUNNERS, Stage.TRAIN, lambda _settings: succeeded)
    code, _ = run("train")
    assert code == 0
    assert not (claim / "finetunejobs").exists()


def test_broken_result_is_named_not_trusted(run, write_run, claim):
    write_run()
    run("prepare")
    (claim / "finetunejobs/job/u1/results/prepare.json").write_text(json.dumps({"cause": "?"}))
    code, end = run("prepare", attempt=2)
    assert code == EXIT_CODES[Cause.USER_ERROR]
    assert "prepare.json is no result of ours" in end.message


def test_exit_code_tells_the_cause_where_no_message_can_be_written(tmp_path, caplog):
    (tmp_path / "dev").write_text("a file where the folder should be")
    end = Termination(cause=Cause.DIVERGED, message="loss is nan")
    assert ending.say(end, tmp_path / "dev/termination-log") == EXIT_CODES[Cause.DIVERGED]
    assert "cannot write" in caplog.text
