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
