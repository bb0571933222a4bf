"""Typed fields and extraArgs as keyword arguments of a configuration class."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead_api.termination import Cause
from fairlead_operator.finetune import arguments as admitted
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.train import arguments


@dataclass
class Config:
    """Shapes of annotation that TrainingArguments has."""

    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    group_by_length: bool = False
    optim: str = "adamw"
    dataloader_num_workers: int = 0


def test_fields_arrive_under_upstreams_names(settle):
    spec = {
        "hyperparameters": {"learningRate": 0.002, "warmupRatio": 0.1, "seed": 7, "bf16": True},
        "prepare": {"maxLength": 64, "packing": False},
        "checkpoint": {"saveSteps": 9},
    }
    built = arguments.build(settle(**spec).run, Path("/aside"), use_cpu=True)
    expected = {
        "output_dir": "/aside",
        "learning_rate": 0.002,
        "warmup_steps": 0.1,
        "seed": 7,
        "bf16": True,
        "max_length": 64,
        "packing": False,
        "save_steps": 9,
        "max_steps": -1,
        "use_cpu": True,
    }
    assert {name: built[name] for name in expected} == expected


def test_max_steps_overrides_epochs(settle):
    run = settle(hyperparameters={"maxSteps": 12}).run
    assert arguments.build(run, Path("/aside"), use_cpu=True)["max_steps"] == 12


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("weight_decay", "0.1", 0.1),
        ("max_grad_norm", "1", 1.0),
        ("group_by_length", "true", True),
        ("optim", "adafactor", "adafactor"),
        ("dataloader_num_workers", "2", 2),
    ],
)
def test_text_gets_the_declared_type(name, text, value):
    typed = arguments.typed({name: text}, Config)
    assert typed == {name: value}
    assert type(typed[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        pytest.param("weight_decay", "lots", "extraArgs.weight_decay='lots': Input", id="value"),
        pytest.param("dataloader_num_workers", "1.5", "='1.5': Input", id="fraction"),
        pytest.param("wait_decay", "0.1", "Config has no such argument", id="name"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, text, told):
    with pytest.raises(StageFailure) as caught:
        arguments.typed({name: text}, Config)
    assert caught.value.cause is Cause.USER_ERROR
    assert told in caught.value.message


def test_extra_argument_replaces_a_default():
    assert arguments.with_defaults({}, {"logging_steps": 1})["logging_steps"] == 1
    assert arguments.with_defaults({}, {})["logging_steps"] == arguments.LOGGING_STEPS


@pytest.mark.parametrize("name", ["learning_rate", "output_dir", "report_to", "save_total_limit"])
def test_extra_argument_that_repeats_ours_is_refused(settle, name):
    ours = arguments.build(settle().run, Path("/aside"), use_cpu=True)
    with pytest.raises(StageFailure, match=f"extraArgs.{name} repeats"):
        arguments.with_defaults(ours, {name: "x"})


def test_no_argument_that_the_operator_admits_repeats_ours(settle):
    ours = arguments.build(settle().run, Path("/aside"), use_cpu=True)
    assert not admitted.ALLOWED & set(ours)
