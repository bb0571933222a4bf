"""The task that trains."""

from fairlead_airflow.operators.resource import ResourceOperator
from fairlead_api import names


class FineTuneOperator(ResourceOperator):
    """Trains a model: makes a FineTuneJob and waits until it is Complete.

    Returns ``{"kind", "namespace", "name", "uid", "artifact", "progress"}``.
    """

    kind = names.FINETUNEJOB
