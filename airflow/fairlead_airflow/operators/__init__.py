"""Fairlead's tasks: each makes, changes, asks or deletes a resource, and says what came of it."""

from fairlead_airflow.operators.deleting import DeleteOperator
from fairlead_airflow.operators.resource import ResourceOperator
from fairlead_airflow.operators.serving import ServeOperator
from fairlead_airflow.operators.training import FineTuneOperator

__all__ = ["DeleteOperator", "FineTuneOperator", "ResourceOperator", "ServeOperator"]
