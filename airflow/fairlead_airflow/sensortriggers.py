"""Wait in the triggerer for what sensors wait for; each yields one event, as ResourceTrigger does.

A kill ends nothing: who waits here has made nothing.
"""

import asyncio
import dataclasses
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TriggerEvent

from fairlead_airflow import (
    comparisons,
    conditionwaits,
    httpconnection,
    listing,
    measuring,
    storage,
    waiting,
)
from fairlead_airflow.ending import OnKill
from fairlead_airflow.fields import InvalidField
from fairlead_airflow.triggers import ResourceTrigger
from fairlead_api import outcome

_NOBODY: Mapping[str, str] = {"dag_id": "", "task_id": "", "run_id": ""}


class ConditionTrigger(ResourceTrigger):
    """Waits for a condition of a resource, whether it is there already or not."""

    def __init__(
        self,
        kind: str,
        namespace: str,
        name: str,
        condition: str,
        status: str,
        fairlead_conn_id: str,
    ) -> None:
        super().__init__(
            kind, namespace, name, "", 0, fairlead_conn_id, _NOBODY, on_kill=OnKill.KEEP
        )
        self.condition = condition
        self.status = status

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        own = {"condition": self.condition, "status": self.status}
        given = dataclasses.asdict(self.of) | own | {"fairlead_conn_id": self.fairlead_conn_id}
        return f"{type(self).__module__}.{type(self).__qualname__}", given

    def judge(self, body: Mapping[str, Any] | None) -> waiting.Seen:
        """What a version of the resource means for the condition."""
        return conditionwaits.judge(body, self.condition, self.status)

    async def on_kill(self) -> None:
        """End nothing."""


class LookingTrigger(BaseTrigger):
    """Looks from time to time. Where another triggerer takes it over, it begins anew."""

    def __init__(self, poke_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # upstream
        self.poke_seconds = poke_seconds

    @abstractmethod
    def __str__(self) -> str:
        """What is looked at."""

    @abstractmethod
    async def look(self) -> waiting.Seen:
        """Look once."""

    @abstractmethod
    def found(self) -> dict[str, Any]:
        """What is handed on beside the event, when it is reached."""

    def pause(self) -> float:
        """Seconds until the next look."""
        return self.poke_seconds

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        lines = waiting.Lines(str(self), self.log.info, time.monotonic)
        while True:
            seen = await self.look()
            lines.tell(seen)
            lines.repeat()
            if (event := waiting.event(seen)) is not None:
                more = self.found() if isinstance(seen, outcome.Succeeded) else {}
                yield TriggerEvent(event | more)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.pause())


class NumberTrigger(LookingTrigger):
    """Waits until a number of Prometheus is within bounds, for some seconds."""

    def __init__(
        self,
        query: str,
        bounds: Mapping[str, float | None],
        hold_seconds: float,
        poke_seconds: float,
        prometheus_conn_id: str,
    ) -> None:
        super().__init__(poke_seconds)
        self.bounds = comparisons.Bounds(**bounds)
        self.hold_seconds = hold_seconds
        self.prometheus_conn_id = prometheus_conn_id
        self._measure = measuring.Measure(query, self.bounds, hold_seconds, time.monotonic)

    def __str__(self) -> str:
        return self._measure.query

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "query": self._measure.query,
                "bounds": dataclasses.asdict(self.bounds),
                "hold_seconds": self.hold_seconds,
                "poke_seconds": self.poke_seconds,
                "prometheus_conn_id": self.prometheus_conn_id,
            },
        )

    async def look(self) -> waiting.Seen:
        """Ask, by the connection as it is now: its password may have changed."""
        try:
            described = await Connection.async_get(self.prometheus_conn_id)
            connection = httpconnection.of(described, await described.aextra_dejson())
        except (AirflowNotFoundException, httpconnection.InvalidConnection) as invalid:
            return outcome.Failed("InvalidConnection", str(invalid))
        except AirflowRuntimeError as away:
            return self._measure.unknown(f"Airflow doesn't tell the connection: {away}")
        return await self._measure.look(connection)

    def found(self) -> dict[str, Any]:
        """The number."""
        return {"value": self._measure.value, "query": self._measure.query}

    def pause(self) -> float:
        """No longer than until it has held."""
        return self._measure.pause(self.poke_seconds)


class DatasetTrigger(LookingTrigger):
    """Waits until a new file is there, and whole."""

    def __init__(
        self, uri: str, conn_id: str | None, seen: Sequence[str], since: str, poke_seconds: float
    ) -> None:
        super().__init__(poke_seconds)
        self.uri = uri
        self.conn_id = conn_id
        self.seen = list(seen)
        self.since = since
        self._lookout = listing.Lookout(self.seen, listing.parse_since(since))
        self._entry: listing.Entry | None = None

    def __str__(self) -> str:
        return self.uri

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "uri": self.uri,
                "conn_id": self.conn_id,
                "seen": self.seen,
                "since": self.since,
                "poke_seconds": self.poke_seconds,
            },
        )

    async def look(self) -> waiting.Seen:
        """List, in a thread of its own: a storage may take its time."""
        try:
            entries = await asyncio.to_thread(storage.entries, self.uri, self.conn_id)
        except InvalidField as invalid:
            return outcome.Failed("InvalidField", str(invalid))
        except OSError as unreadable:
            return outcome.Waiting(f"can't be listed now: {unreadable}")
        seen, self._entry = self._lookout.judge(entries)
        return seen

    def found(self) -> dict[str, Any]:
        """The file."""
        return self._entry.result() if self._entry is not None else {}
