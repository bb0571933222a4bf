"""How a run ended, by the states of its tasks; pure.

Airflow reads the end of a run off its last tasks. Here these are clean-up, which runs whatever
came before, so that one task has to say it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

FAILED: Final = frozenset({"failed", "upstream_failed"})
SUCCESS: Final = "success"


class RunFailed(Exception):
    """The run did not do what it should; names the tasks."""


def require_success(states: Mapping[str, Any], ends: Iterable[str]) -> str:
    """Which end the run came to.

    Args:
        states: Of every task that is over, by its id.
        ends: Tasks of which one must have succeeded for the run to have been of use.

    Raises:
        RunFailed: When a task failed, or none of the ends was reached as in a run that was ended
            between two tasks.
    """
    failed = sorted(task for task, state in states.items() if state == "failed")
    if failed:
        raise RunFailed(f"failed: {', '.join(failed)}")
    if blocked := sorted(task for task, state in states.items() if state in FAILED):
        raise RunFailed(f"not run, for what came before failed: {', '.join(blocked)}")
    reached = [task for task in ends if states.get(task) == SUCCESS]
    if not reached:
        raise RunFailed(f"the run was ended before one of these was done: {', '.join(ends)}")
    return ", ".join(reached)
