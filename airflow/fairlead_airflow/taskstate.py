"""Whether a task is over, by Airflow's own account: asked before what it waits for is ended.

Being told to stop says little. A trigger hears of a kill when its task was killed, but also when
the task was cleared or another triggerer took the trigger over; a worker hears of one when its
task was killed, but also when its node is drained.
"""

import asyncio
import queue
import threading
from typing import Final

from airflow.sdk.execution_time import task_runner

from fairlead_airflow.naming import TaskKey

ASK_SECONDS: Final = 45.0
"""Longest that an answer is waited for; a killed worker lives five seconds."""
REMOVED: Final = "removed"
OVER: Final = frozenset({"success", "failed", "skipped", "upstream_failed", REMOVED})
"""States in which nobody waits for the work any more: no try follows unless somebody clears it."""


class Unknown(Exception):
    """Airflow doesn't say."""


def ask(task: TaskKey) -> str:
    """The state of a task now; ``none`` before it is scheduled, ``removed`` if its run is gone.

    Blocks for as long as Airflow takes.

    Raises:
        Unknown: Whatever keeps the answer away.
    """
    try:
        runs = task_runner.RuntimeTaskInstance.get_task_states(
            dag_id=task.dag_id,
            map_index=task.map_index,
            task_ids=[task.task_id],
            run_ids=[task.run_id],
        )
    except Exception as failure:  # many: no supervisor, its socket, the API server, its answer
        raise Unknown(f"{type(failure).__name__}: {failure}") from failure
    # Airflow adds the index to the name of a mapped task.
    name = task.task_id if task.map_index < 0 else f"{task.task_id}_{task.map_index}"
    state = runs.get(task.run_id, {}).get(name, REMOVED)
    return "none" if state is None else str(state)


async def in_triggerer(task: TaskKey, seconds: float = ASK_SECONDS) -> str:
    """Ask from a triggerer's event loop.

    Raises:
        Unknown: Also when it takes too long.
    """
    try:
        return await asyncio.wait_for(asyncio.to_thread(ask, task), seconds)
    except TimeoutError:
        raise Unknown(f"no answer within {seconds:g} s") from None


def in_worker(task: TaskKey, seconds: float = ASK_SECONDS) -> str:
    """Ask from a worker, where the signal may have come in the middle of another question.

    Raises:
        Unknown: Also when it takes too long, as it does while that other question is open.
    """
    answers: queue.SimpleQueue[str | Unknown] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put(ask(task))
        except Unknown as unknown:
            answers.put(unknown)

    threading.Thread(target=answer, name="fairlead-task-state", daemon=True).start()
    try:
        found = answers.get(timeout=seconds)
    except queue.Empty:
        raise Unknown(f"no answer within {seconds:g} s") from None
    if isinstance(found, Unknown):
        raise found
    return found
