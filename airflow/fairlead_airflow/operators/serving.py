"""The task that serves."""

from fairlead_airflow.operators.resource import ResourceOperator
from fairlead_api import names


class ServeOperator(ResourceOperator):
    """Serves a model: makes or changes a ModelService and waits until it is Ready.

    A killed task deletes the service only if it was this task that made it.
    Returns ``{"kind", "namespace", "name", "uid", "url", "model"}``.
    """

    kind = names.MODELSERVICE
