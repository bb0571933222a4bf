"""What a rank decides without torch."""

import json

import pytest

from fairlead_api.termination import Cause
from fairlead_trainer import checkpoint
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.prepare import stage as prepare
from fairlead_trainer.train import worker


def test_data_that_stands_is_no_problem(settle):
    settings = settle()
    prepare.run(settings)
    assert worker.data_problem(settings.folder / "data") == ""


def test_data_that_changed_is_told_with_file_and_way_out_and_left_alone(settle):
    settings = settle()
    prepare.run(settings)
    shard = settings.folder / "data/train-00000.parquet"
    shard.write_bytes(b"PAR1")
    told = worker.data_problem(settings.folder / "data")
    assert "train-00000.parquet has 4 bytes" in told
    assert "delete the job and apply it again" in told
    assert shard.read_bytes() == b"PAR1"


@pytest.mark.parametrize(
    ("step", "is_finished"),
    [
        pytest.param(8, False, id="steps-left"),
        pytest.param(9, True, id="last-step"),
        pytest.param(10, True, id="beyond"),
    ],
)
def test_checkpoint_of_the_last_step_leaves_nothing_to_train(tmp_path, step, is_finished):
    path = tmp_path / f"step-{step:08}-a1"
    path.mkdir()
    state = {"global_step": step, "max_steps": 9, "log_history": []}
    (path / worker.TRAINER_STATE).write_text(json.dumps(state))
    assert worker.finished(checkpoint.at(path)) == (state if is_finished else None)


def test_nothing_is_finished_without_a_checkpoint():
    assert worker.finished(None) is None


@pytest.mark.parametrize(
    ("history", "loss"),
    [
        pytest.param([{"loss": 3.0, "step": 5}, {"loss": 2.0, "step": 10}], 2.0, id="last"),
        pytest.param([{"loss": 3.0}, {"eval_loss": 1.0}], 3.0, id="last-of-training"),
        pytest.param([], None, id="none-logged"),
    ],
)
def test_loss_of_a_finished_run_is_the_one_logged_last(history, loss):
    assert worker.last_loss({"log_history": history}) == loss


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        pytest.param(ValueError("padding_free needs packing"), Cause.USER_ERROR, id="arguments"),
        pytest.param(ValueError("NCCL error"), Cause.PEER_LOST, id="machine"),
    ],
)
def test_what_upstream_refuses_is_a_users_error(error, cause):
    with pytest.raises(StageFailure, match=str(error)) as caught, worker.refusals():
        raise error
    assert caught.value.cause is cause
