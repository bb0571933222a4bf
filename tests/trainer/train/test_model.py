"""Which failures to load a model are the model's.

Needs the trainer's own environment (requirements/trainer.txt); tests/e2e brings it into the image.
"""

import errno

import pytest

from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.train import model

pytest.importorskip("torch", reason="torch is missing: the e2e tier runs this in the image")
transformers = pytest.importorskip(
    "transformers", reason="transformers is missing: the e2e tier runs this in the image"
)
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        pytest.param(KeyError("unheard of"), Cause.MODEL_ERROR, id="model"),
        pytest.param(RuntimeError("CUDA out of memory"), Cause.OUT_OF_MEMORY, id="memory"),
        pytest.param(OSError(errno.ESTALE, "Stale file handle"), Cause.CRASHED, id="storage"),
    ],
)
@pytest.mark.parametrize("what", ["weights", "tokenizer"])
def test_only_the_model_itself_is_a_users_error(monkeypatch, settle, tmp_path, error, cause, what):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fail)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    spec = settle(Stage.TRAIN).run.spec
    load = {
        "weights": lambda: model.load(tmp_path, spec),
        "tokenizer": lambda: model.tokenizer(tmp_path, spec, messages=False),
    }
    with pytest.raises(StageFailure) as caught:
        load[what]()
    assert caught.value.cause is cause
