"""Fairlead's tasks: each makes, changes, asks or deletes a resource, and says what came of it."""

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
