"""Waits in the triggerer until a ModelService has stayed Ready, on the stream that all share."""

import time
from collections.abc import Mapping
from typing import Any

from fairlead_airflow import waiting, watch
from fairlead_airflow.triggers import ResourceTrigger


class GraceTrigger(ResourceTrigger):
    """As ResourceTrigger, for success that lasts some seconds; yields the same event.

    Where another triggerer takes it over, the seconds begin anew.
    """

    def __init__(self, *, grace_seconds: float, **of_service: Any) -> None:
        super().__init__(**of_service)
        self.grace_seconds = grace_seconds
        self._grace = waiting.Grace(grace_seconds, time.monotonic)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        path, of_service = super().serialize()
        return path, of_service | {"grace_seconds": self.grace_seconds}

    def longest_look(self) -> float:
        """No longer than until it has lasted."""
        return min(super().longest_look(), self._grace.left())

    async def next_seen(self, stream_: watch.SharedWatch, waiter: watch.Waiter) -> waiting.Seen:
        """What the next version means, or what stands when it should have lasted."""
        try:
            return await super().next_seen(stream_, waiter)
        except TimeoutError:
            if self._grace.left() > 0:
                raise
            return self.judge(await stream_.read(self.of.name))

    def judge(self, body: Mapping[str, Any] | None) -> waiting.Seen:
        """What a version of the service means, so long after it was first Ready."""
        return self._grace.judge(super().judge(body))
