"""Ends what a task waited for: of a trigger or a worker that was told to stop, or out of time.

Told to stop, the work is ended only where Airflow says that the task is over; else it goes on,
and the task's next try finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import tenacity

from fairlead_airflow import hooks, taskstate, watch
from fairlead_airflow.naming import TaskKey

if TYPE_CHECKING:
    from fairlead_airflow import stream

KILL_SECONDS: Final = 60.0
"""Longest that the API server is asked to end the work; the supervisor of a killed worker gives
it five seconds in all."""


class Log(Protocol):
    """Airflow's loggers and the standard library's."""

    def debug(self, event: str, *arguments: object) -> object:
        """Say what only who looks for faults wants to know."""
        ...

    def info(self, event: str, *arguments: object) -> object:
        """Say what happens."""
        ...

    def warning(self, event: str, *arguments: object) -> object:
        """Say what somebody may have to do."""
        ...

    def error(self, event: str, *arguments: object) -> object:
        """Say what failed."""
        ...


_going: Final[set[asyncio.Task[None]]] = set()
"""Ends on their way: the event loop itself holds them weakly."""


class OnKill(StrEnum):
    """What becomes of the work of a task that somebody kills."""

    DELETE = "delete"
    SUSPEND = "suspend"  # a FineTuneJob: its checkpoints stay, a cleared task goes on from them
    KEEP = "keep"


@dataclass(frozen=True)
class Work:
    """What one task waits for."""

    of: hooks.Target
    uid: str
    """Of the very resource: one of the same name that was made since is spared."""
    on_kill: OnKill

    @property
    def by_hand(self) -> str:
        """How a person ends it."""
        return f"kubectl -n {self.of.namespace} delete {self.of}"


def spares(state: str) -> bool:
    """Whether a task of this state still has a use for its work."""
    return state not in taskstate.OVER


def in_triggerer(task: TaskKey, work: Work, conn_id: str, log: Log) -> asyncio.Task[None]:
    """Begin to end the work if the task is over; it is done whatever becomes of the caller."""
    going = asyncio.create_task(_ask_and_end(task, work, conn_id, log), name="fairlead-kill")
    _going.add(going)
    going.add_done_callback(_going.discard)
    return going


async def carried_out(going: asyncio.Task[None], log: Log) -> None:
    """Wait until an end is done, however it goes and however often the caller is cancelled.

    Airflow cancels a trigger again each second until it has ended, which would cut this off.
    """
    while not going.done():
        try:
            await asyncio.wait({going})
        except asyncio.CancelledError:
            log.debug("cancelled again; the kill goes on")


async def _ask_and_end(task: TaskKey, work: Work, conn_id: str, log: Log) -> None:
    if work.on_kill is OnKill.KEEP:
        return
    try:
        state = await taskstate.in_triggerer(task)
    except taskstate.Unknown as unknown:
        _tell_unknown(work, unknown, log)
        return
    if spares(state):
        _tell_spared(work, state, log)
        return
    from fairlead_airflow import stream  # Kubernetes' client: not when a DAG file is read

    source = stream.Kubernetes(conn_id, work.of.kind, work.of.namespace)
    try:
        async with asyncio.timeout(KILL_SECONDS):
            await _patiently(lambda: _end_over(source, work, log))
    except (watch.Unavailable, hooks.Refused, TimeoutError) as failure:
        _tell_failed(work, failure, log)


async def _patiently(action: Callable[[], Awaitable[None]]) -> None:
    again = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(watch.Unavailable),
        stop=tenacity.stop_after_delay(KILL_SECONDS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
        reraise=True,
    )
    async for attempt in again:
        with attempt:
            await action()


async def _end_over(source: stream.Kubernetes, work: Work, log: Log) -> None:
    async with source.open() as connection:
        if work.on_kill is OnKill.DELETE:
            log.info("killed: deleting %s", work.of)
            await connection.delete(work.of.name, work.uid)
        else:
            log.info("killed: suspending %s", work.of)
            await connection.suspend(work.of.name, work.uid)


def in_worker(
    there: Callable[[], hooks.FairleadHook], task: TaskKey, work: Work | None, log: Log
) -> bool:
    """End the work, None before it is made, if the task is over; whether it is.

    Before that the connection isn't asked for: the signal may have come while its module loads.
    """
    if work is not None and work.on_kill is OnKill.KEEP:
        return False
    if work is not None:
        _tell_asking(work, log)
    try:
        state = taskstate.in_worker(task)
    except taskstate.Unknown as unknown:
        if work is not None:
            _tell_unknown(work, unknown, log)
        return False
    if spares(state):
        if work is not None:
            _tell_spared(work, state, log)
        return False
    if work is not None:
        now(there(), work, "killed", log)
    return True


def now(there: hooks.FairleadHook, work: Work, why: str, log: Log) -> None:
    """End the work without a question; a failure is told, for what comes after goes on."""
    try:
        if work.on_kill is OnKill.DELETE:
            log.info("%s: deleting %s", why, work.of)
            there.delete(work.of, work.uid, KILL_SECONDS)
        elif work.on_kill is OnKill.SUSPEND:
            log.info("%s: suspending %s", why, work.of)
            there.suspend(work.of, work.uid, patience_seconds=KILL_SECONDS)
    except (hooks.Refused, hooks.Unreachable) as failure:
        _tell_failed(work, failure, log)


def _tell_asking(work: Work, log: Log) -> None:
    """The last words of a process whose supervisor gives it five seconds, as after a kill."""
    log.info(
        "told to stop: asking Airflow whether the task is over; if no line follows and nobody waits"
        " for %s any more, end it: %s",
        work.of, work.by_hand,
    )  # fmt: skip


def _tell_spared(work: Work, state: str, log: Log) -> None:
    log.info("told to stop, but Airflow says that the task is %s: %s goes on", state, work.of)


def _tell_unknown(work: Work, unknown: taskstate.Unknown, log: Log) -> None:
    log.warning(
        "told to stop, but Airflow doesn't say whether the task is over (%s): %s goes on;"
        " if nobody waits for it any more, end it: %s",
        unknown, work.of, work.by_hand,
    )  # fmt: skip


def _tell_failed(work: Work, failure: Exception, log: Log) -> None:
    log.error(
        "%s could not be ended within %.0f s: %s; end it by hand: %s",
        work.of, KILL_SECONDS, failure or repr(failure), work.by_hand,
    )  # fmt: skip
