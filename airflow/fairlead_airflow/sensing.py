"""What all sensors share: one look in the worker, then the triggerer, or poke by poke."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.triggers.base import BaseTrigger

from fairlead_airflow import httpconnection, waiting
from fairlead_airflow.fields import InvalidField
from fairlead_api import outcome


class WaitingSensor(BaseSensorOperator):
    """Looks in the worker, then waits in the triggerer, or pokes on.

    ``timeout`` and ``soft_fail`` mean the same, deferred or not.

    :param deferrable: Wait in the triggerer, not in a worker's slot.
    """

    remembers = False
    """Whether a look needs what the one before saw: ``mode="reschedule"`` forgets it."""

    def __init__(self, *, deferrable: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        if self.remembers and self.mode == "reschedule" and not deferrable:
            raise ValueError("mode: reschedule forgets the look before; be deferrable, or poke")
        self._lines: waiting.Lines | None = None

    @abstractmethod
    def look(self) -> tuple[waiting.Seen, Any]:
        """Look once: what is seen, and what the task hands on if it is reached."""

    @abstractmethod
    def trigger(self) -> BaseTrigger:
        """What waits while the task is deferred."""

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; what is wrong for good fails the task."""
        try:
            seen, result = self.look()
        except (InvalidField, httpconnection.InvalidConnection) as invalid:
            raise AirflowFailException(str(invalid)) from invalid
        if self._lines is None:
            self._lines = waiting.Lines(self.task_id, self.log.info, time.monotonic)
        self._lines.tell(seen)
        self._lines.repeat()
        if isinstance(seen, outcome.Failed | waiting.Gone):
            raise AirflowFailException(_failure(self.task_id, waiting.event(seen) or {}))
        return PokeReturnValue(isinstance(seen, outcome.Succeeded), result)

    def execute(self, context: Context) -> Any:
        """Wait, deferred or not."""
        if not self.deferrable:
            return super().execute(context)
        try:
            first = self.poke(context)
        except AirflowFailException as failure:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(failure)) from failure
            raise
        if first.is_done:
            return first.xcom_value
        self.defer(
            trigger=self.trigger(),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Hand on what the trigger found; a failure is as good as one of a poke."""
        if event["result"] != "succeeded":
            raise AirflowFailException(_failure(self.task_id, event))
        self.log.info("%s: %s", self.task_id, event["message"])
        return self.result(event)

    def result(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the task hands on: what the trigger found beside its words."""
        words = ("result", "reason", "message")
        return {key: value for key, value in event.items() if key not in words}


def _failure(task_id: str, event: Mapping[str, Any]) -> str:
    return f"{task_id} {event['result']}: {event['reason']}: {event['message']}"
