"""A job's folder and run file under a temporary root, as a pod would see them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_trainer import settings
from fairlead_trainer.settings import Settings

SPEC: dict[str, Any] = {
    "model": {"uri": "pvc://demo/bases/dates"},
    "datasets": [{"name": "amounts", "inline": '{"prompt": "two kilos", "completion": "2000 g"}'}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "demo"},
}


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """The mounted claim `demo`, with what a base model's folder must hold."""
    folder = tmp_path / "mnt/claims/demo"
    base = folder / "bases/dates"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").touch()
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the operator sets, for attempt 1."""
    return {names.ENV_ROOT: str(tmp_path), names.ENV_ATTEMPT: "1"}


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Write the run file with extraArgs, and parts of the spec replaced."""

    def write(training_arguments: dict[str, str] | None = None, **spec: Any) -> Path:
        path = tmp_path / names.RUN_FILE.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"name": "job", "namespace": "ns", "uid": "u1", "spec": SPEC | spec}
        path.write_text(json.dumps(document | {"trainingArguments": training_arguments or {}}))
        return path

    return write


@pytest.fixture
def settle(
    claim: Path, environment: dict[str, str], write_run: Callable[..., Path]
) -> Callable[..., Settings]:
    """Settings of a stage's attempt, with parts of the spec replaced."""

    def make(stage: Stage = Stage.PREPARE, attempt: int = 1, **spec: Any) -> Settings:
        write_run(**spec)
        return settings.load(stage.lower(), environment | {names.ENV_ATTEMPT: str(attempt)})

    return make
