"""Fairlead's tasks: each makes, changes, asks or deletes a resource, and says what came of it.

A module is loaded when a task of it is first asked for: Airflow reads DAG files again and again,
and what loads rows into warehouses costs more than all the rest.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fairlead_airflow.operators.batches import (
        FilterAnswersOperator,
        LoadAnswersOperator,
        PreparePromptsOperator,
    )
    from fairlead_airflow.operators.deleting import DeleteOperator
    from fairlead_airflow.operators.evaluating import EvaluateOperator
    from fairlead_airflow.operators.generating import BatchGenerateOperator
    from fairlead_airflow.operators.resource import ResourceOperator
    from fairlead_airflow.operators.scaling import ScaleOperator
    from fairlead_airflow.operators.serving import ServeOperator
    from fairlead_airflow.operators.stages import StageSensor, SubmitOperator
    from fairlead_airflow.operators.training import FineTuneOperator

__all__ = [
    "BatchGenerateOperator",
    "DeleteOperator",
    "EvaluateOperator",
    "FilterAnswersOperator",
    "FineTuneOperator",
    "LoadAnswersOperator",
    "PreparePromptsOperator",
    "ResourceOperator",
    "ScaleOperator",
    "ServeOperator",
    "StageSensor",
    "SubmitOperator",
]
_MODULES: Final = {
    "BatchGenerateOperator": "generating",
    "DeleteOperator": "deleting",
    "EvaluateOperator": "evaluating",
    "FilterAnswersOperator": "batches",
    "FineTuneOperator": "training",
    "LoadAnswersOperator": "batches",
    "PreparePromptsOperator": "batches",
    "ResourceOperator": "resource",
    "ScaleOperator": "scaling",
    "ServeOperator": "serving",
    "StageSensor": "stages",
    "SubmitOperator": "stages",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
