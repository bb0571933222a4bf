"""The Train stage from its command line to its end, around a torchrun of the test's own.

The launcher starts it as it starts the real one; what ranks do is the torch tests' affair.
"""

import json

import pytest

from fairlead_api import names
from fairlead_api.termination import EXIT_CODES, Cause, read
from fairlead_trainer import __main__ as trainer
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

    def call(program):
        write_run()
        folder = tmp_path / "instead" / "torch" / "distributed"
        folder.mkdir(parents=True)
        for package in (folder.parent, folder):
            (package / "__init__.py").touch()
        (folder / "run.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(folder.parent.parent))
        monkeypatch.setattr(stage, "PEER_WAIT_SECONDS", 0.1)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = trainer.main(["train"])
        end = read((tmp_path / names.TERMINATION_LOG.lstrip("/")).read_text())
        assert end is not None
        assert code == EXIT_CODES[end.cause]
        return end

    return call


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
