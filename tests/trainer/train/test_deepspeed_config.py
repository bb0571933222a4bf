"""Typed fields and raw configuration become one, without two homes for one fact."""

import pytest

from fairlead_api import deepspeed
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.train import deepspeed_config


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_stage_is_the_manifests(settle, stage):
    config = deepspeed_config.build(settle(deepspeed={"zeroStage": stage}).run.spec)
    assert config["zero_optimization"]["stage"] == stage
    gathers = "stage3_gather_16bit_weights_on_model_save"
    assert config["zero_optimization"].get(gathers, False) is (stage == 3)


def test_batch_sizes_multiply(settle):
    spec = settle(
        numNodes=2,
        numProcPerNode=3,
        hyperparameters={"perDeviceTrainBatchSize": 4, "gradientAccumulationSteps": 5},
    ).run.spec
    config = deepspeed_config.build(spec)
    assert config["train_batch_size"] == 2 * 3 * 4 * 5
    assert config["train_micro_batch_size_per_gpu"] == 4
    assert config["gradient_accumulation_steps"] == 5


@pytest.mark.parametrize("bf16", [True, False])
def test_precision_is_the_manifests(settle, bf16):
    config = deepspeed_config.build(settle(hyperparameters={"bf16": bf16}).run.spec)
    assert config["bf16"] == {"enabled": bf16}


def test_raw_configuration_is_merged_deeply(settle):
    raw = {"zero_optimization": {"overlap_comm": True}, "communication_data_type": "fp32"}
    config = deepspeed_config.build(settle(deepspeed={"zeroStage": 2, "config": raw}).run.spec)
    assert config["zero_optimization"] == {"stage": 2, "overlap_comm": True}
    assert config["communication_data_type"] == "fp32"


@pytest.mark.parametrize("path", sorted(deepspeed.OWNED))
def test_key_that_a_field_owns_is_refused_by_name(settle, path):
    raw = 1
    for part in reversed(path.split(".")):
        raw = {part: raw}
    spec = settle(deepspeed={"config": raw}).run.spec
    with pytest.raises(StageFailure) as caught:
        deepspeed_config.build(spec)
    assert caught.value.cause is Cause.USER_ERROR
    assert f"deepspeed.config.{path}: {deepspeed.OWNED[path]}" in caught.value.message


def test_merging_changes_neither_side():
    base, over = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert deepspeed_config.merged(base, over) == {"a": {"b": 1, "c": 2}}
    assert (base, over) == ({"a": {"b": 1}}, {"a": {"c": 2}})
