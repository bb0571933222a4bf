"""Raw DeepSpeed settings may tune, and may not take over what other fields decide."""

import pytest

from fairlead_api import deepspeed


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        pytest.param({}, [], id="empty"),
        pytest.param({"zero_optimization": {"overlap_comm": True}}, [], id="tuning"),
        pytest.param(
            {"optimizer": {"type": "AdamW", "params": {"betas": [0, 1]}}},
            ["optimizer"],
            id="optimizer",
        ),
        pytest.param({"zero_optimization": {"stage": 3}}, ["zero_optimization.stage"], id="stage"),
        pytest.param({"train_batch_size": 8}, ["train_batch_size"], id="batch"),
        pytest.param({"bf16": {"enabled": True}}, ["bf16"], id="bf16"),
        pytest.param({"gradient_clipping": 1.0}, ["gradient_clipping"], id="clipping"),
        pytest.param(
            {"zero_optimization": {"stage3_gather_16bit_weights_on_model_save": False}},
            ["zero_optimization.stage3_gather_16bit_weights_on_model_save"],
            id="weights-that-export-needs",
        ),
        pytest.param(
            {"tensorboard": {"output_path": "/x"}}, ["tensorboard"], id="writes-elsewhere"
        ),
        pytest.param(
            {"zero_optimization": {"offload_param": {"nvme_path": "/dev"}}},
            ["zero_optimization.offload_param.nvme_path"],
            id="path",
        ),
        pytest.param({"wandb": {}, "amp": {}}, ["amp", "wandb"], id="several-sorted"),
    ],
)
def test_owned_keys_are_found_at_any_depth(config, paths):
    assert deepspeed.refused(config) == paths


def nested(num_levels, outer):
    """A configuration of so many objects and lists in each other."""
    value = 1
    for _ in range(num_levels - 1):
        value = outer(value)
    return {"a": value}


@pytest.mark.parametrize("outer", [lambda inner: {"a": inner}, lambda inner: [inner]])
@pytest.mark.parametrize(
    ("num_levels", "expected"), [(1, False), (16, False), (17, True), (900, True)]
)
def test_config_of_too_many_levels_is_found(outer, num_levels, expected):
    config = nested(num_levels, outer)
    assert deepspeed.is_too_deep(config) == expected
    assert deepspeed.refused(config) == []
