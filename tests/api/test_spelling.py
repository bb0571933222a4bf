"""A name that is no member is told with the one that was probably meant."""

import pytest

from fairlead_api import spelling
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService


@pytest.mark.parametrize(
    ("model", "way", "meant"),
    [
        pytest.param(
            FineTuneJob, ("spec", "hyperparameters", "learningRte"), "learningRate", id="a-letter"
        ),
        pytest.param(
            FineTuneJob, ("spec", "hyperparameters", "learning_rate"), "learningRate", id="python-s"
        ),
        pytest.param(FineTuneJob, ("spec", "datasets", 0, "Name"), "name", id="in-a-list"),
        pytest.param(FineTuneJob, ("specs",), "spec", id="at-the-top"),
        pytest.param(
            FineTuneJob, ("spec", "maxSteps"), "spec.hyperparameters.maxSteps", id="elsewhere"
        ),
        pytest.param(
            FineTuneJob, ("spec", "max_steps"), "spec.hyperparameters.maxSteps", id="both"
        ),
        pytest.param(
            ModelService, ("spec", "maxModelLen"), "spec.engine.maxModelLen", id="of-a-service"
        ),
        pytest.param(ModelService, ("spec", "maxSteps"), None, id="of-the-other-kind"),
        pytest.param(FineTuneJob, ("spec", "uri"), None, id="at-several-places"),
        pytest.param(FineTuneJob, ("spec", "percent"), None, id="of-the-status"),
        pytest.param(FineTuneJob, ("spec", "flavour"), None, id="like-nothing"),
        pytest.param(FineTuneJob, ("spec", ""), None, id="empty"),
    ],
)
def test_member_that_was_meant(model, way, meant):
    assert spelling.meant(model, way) == meant
