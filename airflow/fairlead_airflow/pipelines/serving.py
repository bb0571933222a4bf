"""The task that serves what a run trained, under whichever name."""

from typing import Any, Final

from fairlead_airflow.operators.serving import ServeOperator

NAME: Final = "{{ params.name }}"
NAMESPACE: Final = "{{ params.namespace or '' }}"


def serve(task_id: str, name: str, job: str, checked: Any, **options: Any) -> ServeOperator:
    """A task that serves the model of a FineTuneJob as the run's form says.

    Args:
        task_id: Of the task.
        name: Of the ModelService (templated).
        job: Name of the FineTuneJob (templated).
        checked: What the task ``check`` handed on.
        options: Of the operator.
    """
    spec = {
        "model": {"fineTuneJobRef": {"name": job}},
        "engine": checked["engine"],
        "resources": checked["resources"],
    }
    return ServeOperator(
        task_id=task_id, name=name, namespace=NAMESPACE, manifest={"spec": spec}, **options
    )
