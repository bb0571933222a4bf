"""A folder that holds no model is refused by Prepare already, and by Train where it went since."""

import shutil

import pytest

from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause
from fairlead_trainer.command import RUNNERS
from fairlead_trainer.failures import StageFailure


def replaced(name, text):
    return lambda base: (base / name).write_text(text)


@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.TRAIN])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(shutil.rmtree, "there is no such folder", id="no-folder"),
        pytest.param(
            lambda base: (base / "config.json").unlink(), "config.json is missing", id="no-config"
        ),
        pytest.param(
            lambda base: (base / "model.safetensors").rename(base / "pytorch_model.bin"),
            "no *.safetensors file; convert pickled weights",
            id="pickled",
        ),
        pytest.param(replaced("config.json", "{"), "config.json: Expecting", id="broken-config"),
        pytest.param(
            replaced("config.json", '{"auto_map": {}}'), "asks to run code (auto_map)", id="code"
        ),
    ],
)
def test_folder_without_a_model_is_refused(settle, claim, stage, spoil, said):
    spoil(claim / "bases/dates")
    settings = settle(stage)
    with pytest.raises(StageFailure, match="model.uri pvc://demo/bases/dates") as refused:
        RUNNERS[stage](settings)
    assert refused.value.cause is Cause.MODEL_ERROR
    assert said in refused.value.message
    assert not list(claim.rglob("data")), "nothing was prepared"
