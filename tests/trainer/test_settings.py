"""What a container reads at its start, and what it refuses."""

import pytest

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause
from fairlead_trainer import settings
from fairlead_trainer.failures import StageFailure


@pytest.mark.parametrize("stage", list(Stage))
def test_stage_and_attempt_come_from_the_operator(stage, settle, tmp_path):
    loaded = settle(stage, attempt=7)
    assert (loaded.stage, loaded.attempt) == (stage, 7)
    assert loaded.folder == tmp_path / "mnt/claims/demo/finetunejobs/job/u1"
    assert loaded.result_file == loaded.folder / f"results/{stage.lower()}.json"


def test_without_a_root_paths_are_the_containers(settle):
    loaded = settings.Settings(Stage.TRAIN, 1, settle().run)
    assert str(loaded.folder) == "/mnt/claims/demo/finetunejobs/job/u1"


@pytest.mark.parametrize(("rank", "publishes"), [("0", True), ("1", False), (None, True)])
def test_one_pod_of_an_attempt_publishes(rank, publishes, write_run, environment):
    write_run()
    more = {} if rank is None else {"PET_NODE_RANK": rank}
    assert settings.load("train", environment | more).publishes is publishes


@pytest.mark.parametrize(
    ("stage", "change", "told"),
    [
        pytest.param("pretrain", {}, "no such stage: pretrain", id="stage"),
        pytest.param("", {}, "no such stage", id="no-stage"),
        pytest.param("train", {names.ENV_ATTEMPT: "first"}, "'first' is no attempt", id="attempt"),
        pytest.param("train", {names.ENV_ATTEMPT: ""}, "is no attempt number", id="no-attempt"),
    ],
)
def test_nonsense_is_refused_by_name(stage, change, told, environment, write_run):
    write_run()
    with pytest.raises(StageFailure, match=told) as caught:
        settings.load(stage, environment | change)
    assert caught.value.cause is Cause.USER_ERROR


def test_missing_run_file_is_named(environment):
    with pytest.raises(StageFailure, match="run.json"):
        settings.load("train", environment)


def test_run_file_with_an_unknown_field_is_refused(environment, write_run):
    write_run(surprise=1)
    with pytest.raises(StageFailure, match=r"surprise"):
        settings.load("train", environment)
