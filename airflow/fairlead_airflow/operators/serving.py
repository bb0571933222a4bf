"""The task that serves."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fairlead_airflow import ending, waiting
from fairlead_airflow.gracetrigger import GraceTrigger
from fairlead_airflow.operators.resource import ResourceOperator
from fairlead_airflow.triggers import ResourceTrigger
from fairlead_api import names


class ServeOperator(ResourceOperator):
    """Serves a model: makes or changes a ModelService and waits until it is Ready.

    A killed task deletes the service only if it was this task that made it. How many replicas a
    service has that is there already is left to who scales it, unless the manifest says it.
    Returns ``{"kind", "namespace", "name", "uid", "url", "model"}``.

    :param grace_period: How long the service must stay Ready before the task succeeds; it fails
        as soon as the service doesn't.
    """

    kind = names.MODELSERVICE

    def __init__(self, *, grace_period: timedelta = timedelta(0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grace_period = grace_period
        self._grace = waiting.Grace(grace_period.total_seconds(), time.monotonic)

    def judge(self, body: Mapping[str, Any] | None, uid: str, generation: int) -> waiting.Seen:
        """What a version of the service means, so long after it was first Ready."""
        return self._grace.judge(super().judge(body, uid, generation))

    def trigger(self, work: ending.Work, generation: int) -> ResourceTrigger:
        """What waits while the task is deferred."""
        if not self.grace_period:
            return super().trigger(work, generation)
        of_service = self.trigger_arguments(work, generation)
        return GraceTrigger(grace_seconds=self.grace_period.total_seconds(), **of_service)
