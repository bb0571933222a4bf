"""Programs that a kubeconfig logs in by: for tasks to run, never for Airflow's API server.

That process holds the database's address, the Fernet key and what signs tokens, and whoever may
write a connection says which program runs.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from airflow.sdk.execution_time import task_runner

WAYS: Final = ("exec", "auth-provider")
"""Fields of a kubeconfig's user."""


def of(user: Mapping[str, Any] | None) -> str:
    """By which field a user logs in by a program; empty: by none."""
    return next((way for way in WAYS if user and way in user), "")


def may_run() -> bool:
    """Whether this process is none of Airflow's servers, by Airflow's own rule."""
    if getattr(task_runner, "SUPERVISOR_COMMS", None) is not None:
        return True  # a task, whatever it has of the scheduler's environment
    return os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server"
