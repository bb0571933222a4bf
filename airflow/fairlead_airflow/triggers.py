"""Waits in the triggerer until a resource is done; thousands wait on one stream."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from fairlead_airflow import ending, hooks, naming, waiting, watch
from fairlead_airflow.ending import OnKill

_Key = tuple[str, str, str]
_watches: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, watch.SharedWatch]]] = (
    WeakKeyDictionary()
)


def shared(conn_id: str, kind: str, namespace: str) -> watch.SharedWatch:
    """The one watch of this event loop for a connection, kind and namespace."""
    of_loop = _watches.setdefault(asyncio.get_running_loop(), {})
    key = (conn_id, kind, namespace)
    if key not in of_loop:
        from fairlead_airflow import stream  # Kubernetes' client: not when a DAG file is read

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
        task: Mapping[str, Any],
        on_kill: str = OnKill.DELETE,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # upstream
        self.of = hooks.Target(kind, namespace, name)
        self.uid = uid
        self.generation = generation
        self.fairlead_conn_id = fairlead_conn_id
        self.waits_for = naming.TaskKey(**task)
        self.on_kill_action = OnKill(on_kill)
        self._has_fired = False
        self._end: asyncio.Task[None] | None = None

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
                "task": dataclasses.asdict(self.waits_for),
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
                    seen = await self.next_seen(stream_, waiter)
                except TimeoutError:
                    lines.repeat(stream_.trouble)
                    continue
                lines.tell(seen)
                if (event := waiting.event(seen)) is not None:
                    self._has_fired = True
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                    return
        finally:
            await stream_.leave(self.of.name, waiter)

    async def next_seen(self, stream_: watch.SharedWatch, waiter: watch.Waiter) -> waiting.Seen:
        """What the next version means; nothing of it stays in memory: thousands wait."""
        async with asyncio.timeout(self.longest_look()):
            body = await waiter.look()
        seen = self.judge(body)
        if isinstance(seen, waiting.Gone):
            # Or the stream is still where one of this name was deleted before ours.
            seen = self.judge(await stream_.read(self.of.name))
        return seen

    def longest_look(self) -> float:
        """Seconds after which something is said though nothing is seen."""
        return waiting.REPEAT_SECONDS

    def judge(self, body: Mapping[str, Any] | None) -> waiting.Seen:
        """What a version of the resource means; subclasses wait for less."""
        return waiting.judge(body, self.uid, self.generation)

    async def on_kill(self) -> None:
        """Told to stop: where the task is over, its work ends too."""
        if self._has_fired:
            return
        work = ending.Work(self.of, self.uid, self.on_kill_action)
        self._end = ending.in_triggerer(self.waits_for, work, self.fairlead_conn_id, self.log)
        await ending.carried_out(self._end, self.log)
        self._end.result()

    async def cleanup(self) -> None:
        """Be over after the end of the work only: the task's log, which tells of it, closes then.

        Airflow's wait for ``on_kill`` is cut off when it cancels the trigger for the third time.
        """
        if self._end is not None:
            await ending.carried_out(self._end, self.log)
