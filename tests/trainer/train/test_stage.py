"""The Train stage from its command line to its end, around a torchrun of the test's own.

The launcher starts it as it starts the real one; what ranks do is the torch tests' affair.
"""

import json

import pytest

from fairlead_api import names
from fairlead_api.runfile import CHECKPOINTS_DIR
from fairlead_api.termination import EXIT_CODES, Cause, read
from fairlead_trainer import command as trainer
from fairlead_trainer.checkpoint import CheckpointStore
from fairlead_trainer.train import stage

SILENT = "import sys; sys.exit({code})"
TOLD = """
import json, os, sys
with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as file:
    json.dump({{"message": {{"message": {text!r}}}}}, file)
sys.exit(1)
"""


@pytest.fixture
def train(environment, write_run, claim, monkeypatch, tmp_path):
    """Run the stage with a program in torchrun's place; returns exit code and message."""

    def call(program, attempt=1):
        write_run()
        folder = tmp_path / "instead" / "torch" / "distributed"
        folder.mkdir(parents=True)
        for package in (folder.parent, folder):
            (package / "__init__.py").touch()
        (folder / "run.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(folder.parent.parent))
        monkeypatch.setattr(stage, "PEER_WAIT_SECONDS", 0.1)
        for name, value in (environment | {names.ENV_ATTEMPT: str(attempt)}).items():
            monkeypatch.setenv(name, value)
        code = trainer.main(["train"])
        end = read((tmp_path / names.TERMINATION_LOG.lstrip("/")).read_text())
        assert end is not None
        assert code == EXIT_CODES[end.cause]
        return end

    return call


@pytest.fixture
def checkpoints(settle):
    """Commit empty checkpoints, given as pairs of attempt and step."""

    def commit(committed):
        folder = settle().folder / CHECKPOINTS_DIR
        for attempt, step in sorted(committed):
            store = CheckpointStore(folder, attempt)
            store.claim()
            written = store.aside / f"checkpoint-{step}"
            written.mkdir(parents=True)
            store.commit(written, step)

    return commit


@pytest.mark.parametrize(
    ("program", "cause", "words"),
    [
        pytest.param(SILENT.format(code=1), Cause.CRASHED, "torchrun ended with 1", id="exit-1"),
        pytest.param(
            "import os; os.kill(os.getpid(), 9)", Cause.CRASHED, "torchrun ended with -9", id="kill"
        ),
        pytest.param(
            TOLD.format(text="KeyError: 'weight'"), Cause.CRASHED, "KeyError: 'weight'", id="words"
        ),
        pytest.param(
            TOLD.format(text="OutOfMemoryError: CUDA out of memory. Tried 2 GiB"),
            Cause.OUT_OF_MEMORY,
            "CUDA out of memory",
            id="memory",
        ),
        pytest.param(
            TOLD.format(text="DistBackendError: NCCL error in: x"),
            Cause.PEER_LOST,
            "NCCL error",
            id="peer",
        ),
        pytest.param(SILENT.format(code=0), Cause.CRASHED, "rank 0 left no result", id="no-result"),
    ],
)
def test_every_end_of_training_is_named(train, claim, program, cause, words):
    end = train(program)
    assert (end.cause, end.stage, end.attempt) == (cause, "train", 1)
    assert words in end.message
    assert not list(claim.rglob("train.json")), "a failed training has no result in storage"


def test_result_of_rank_0_is_published(train, claim, tmp_path):
    result = {"step": 9, "loss": 0.5, "worldSize": 2}
    file = stage.RESULT_FILE
    end = train(
        f"import os, pathlib\n"
        f"error = pathlib.Path(os.environ['TORCHELASTIC_ERROR_FILE'])\n"
        f"(error.parent / {file!r}).write_text({json.dumps(result)!r})\n"
    )
    assert end.cause is Cause.SUCCEEDED
    assert (end.training.step, end.training.world_size) == (9, 2)
    assert read(next(claim.rglob("train.json")).read_text()) == end


ENDED = """
import json, os, pathlib, sys
error = pathlib.Path(os.environ["TORCHELASTIC_ERROR_FILE"])
{began}
error.write_text(json.dumps({{"message": {{"message": "StageFailure: [Disrupted] saved"}}}}))
sys.exit(1)
"""
BEGAN = "(error.parent / {file!r}).write_text({text!r})"


@pytest.mark.parametrize(
    ("resumed", "committed", "told"),
    [
        pytest.param(None, [(2, 20), (2, 10), (1, 90)], (20, "step-00000020-a2"), id="saved"),
        pytest.param((1, 10), [(1, 10), (1, 20)], (10, "step-00000010-a1"), id="none-of-its-own"),
        pytest.param(None, [], (0, None), id="none"),
    ],
)
def test_end_without_success_tells_what_is_saved(train, checkpoints, resumed, committed, told):
    checkpoints(committed)
    path = resumed and f"checkpoints/step-{resumed[1]:08}-a{resumed[0]}"
    began = {"step": resumed[1] if resumed else 0, "worldSize": 2, "checkpoint": path}
    text = json.dumps(began | {"resumedFrom": path})
    end = train(ENDED.format(began=BEGAN.format(file=stage.BEGAN_FILE, text=text)), attempt=2)
    assert end.cause is Cause.DISRUPTED
    step, name = told
    assert (end.training.step, end.training.world_size) == (step, 2)
    assert end.training.checkpoint == (name and f"checkpoints/{name}")
    assert end.training.resumed_from == path


def test_end_before_the_ranks_have_met_tells_of_no_training(train, checkpoints):
    checkpoints([(1, 10)])
    assert train(ENDED.format(began=""), attempt=2).training is None
