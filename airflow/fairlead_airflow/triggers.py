"""Waits in the triggerer until a resource is done; thousands wait on one stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any, Final
from weakref import WeakKeyDictionary

import tenacity
from airflow.triggers.base import BaseTrigger, TriggerEvent

from fairlead_airflow import hooks, stream, waiting, watch

KILL_SECONDS: Final = 20
"""Longest that a kill is tried: Airflow allows 30 s of it ([triggerer] on_kill_timeout)."""


class OnKill(StrEnum):
    """What becomes of the work of a task that somebody kills."""

    DELETE = "delete"
    SUSPEND = "suspend"  # a FineTuneJob: its checkpoints stay, a cleared task goes on from them
    KEEP = "keep"


_Key = tuple[str, str, str]
_watches: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, watch.SharedWatch]]] = (
    WeakKeyDictionary()
)


def shared(conn_id: str, kind: str, namespace: str) -> watch.SharedWatch:
    """The one watch of this event loop for a connection, kind and namespace."""
    of_loop = _watches.setdefault(asyncio.get_running_loop(), {})
    key = (conn_id, kind, namespace)
    if key not in of_loop:
        of_loop[key] = watch.SharedWatch(stream.Kubernetes(conn_id, kind, namespace))
    return of_loop[key]


class ResourceTrigger(BaseTrigger):
    """Waits until one resource has succeeded, failed or gone, and tells how far it is.

    Yields one event: ``{"result": "succeeded" | "failed" | "gone", "reason", "message"}``.
    """

    def __init__(
        self,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        generation: int,
        fairlead_conn_id: str,
        on_kill: str = OnKill.DELETE,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # upstream
        self.of = hooks.Target(kind, namespace, name)
        self.uid = uid
        self.generation = generation
        self.fairlead_conn_id = fairlead_conn_id
        self.on_kill_action = OnKill(on_kill)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer goes on."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "kind": self.of.kind,
                "namespace": self.of.namespace,
                "name": self.of.name,
                "uid": self.uid,
                "generation": self.generation,
                "fairlead_conn_id": self.fairlead_conn_id,
                "on_kill": self.on_kill_action.value,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        stream_ = shared(self.fairlead_conn_id, self.of.kind, self.of.namespace)
        waiter = stream_.join(self.of.name)
        lines = waiting.Lines(str(self.of), self.log.info, time.monotonic)
        try:
            while True:
                try:
                    body = await asyncio.wait_for(waiter.look(), waiting.REPEAT_SECONDS)
                except TimeoutError:
                    lines.repeat()
                    continue
                seen = waiting.judge(body, self.uid, self.generation)
                if isinstance(seen, waiting.Gone):
                    # Or the stream is still where one of this name was deleted before ours.
                    now = await stream_.read(self.of.name)
                    seen = waiting.judge(now, self.uid, self.generation)
                lines.tell(seen)
                if (event := waiting.event(seen)) is not None:
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                    return
        finally:
            await stream_.leave(self.of.name, waiter)

    async def on_kill(self) -> None:
        """Somebody killed the task: its work ends too."""
        if self.on_kill_action is OnKill.KEEP:
            return
        source = stream.Kubernetes(self.fairlead_conn_id, self.of.kind, self.of.namespace)
        patiently = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(watch.Unavailable),
            stop=tenacity.stop_after_delay(KILL_SECONDS),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
            reraise=True,
        )
        async for attempt in patiently:
            with attempt:
                async with source.open() as connection:
                    await self._end(connection)

    async def _end(self, connection: stream.Connection) -> None:
        if self.on_kill_action is OnKill.DELETE:
            self.log.info("killed: deleting %s", self.of)
            await connection.delete(self.of.name, self.uid)
        else:
            self.log.info("killed: suspending %s", self.of)
            await connection.suspend(self.of.name, self.uid)
