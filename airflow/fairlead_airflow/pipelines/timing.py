"""How long tasks of the pipelines may take, and how they try again.

Each task has a time of its own. A time for the whole run (``dagrun_timeout``) would skip clean-up.
"""

from datetime import timedelta
from typing import Any, Final

from airflow.sdk import CronTriggerTimetable

TASK_TIMEOUT: Final = timedelta(hours=1)
TRAINING_TIMEOUT: Final = timedelta(hours=24)
GENERATION_TIMEOUT: Final = timedelta(hours=12)
PROMPTS_TIMEOUT: Final = timedelta(hours=24)
HUMAN_TIMEOUT: Final = timedelta(days=1)
WEEKLY: Final = CronTriggerTimetable("0 0 * * 0", timezone="UTC", run_immediately=timedelta(0))
"""Sundays. Who switches the DAG on waits for the next one: with a ``start_date``, Airflow would
make up for the last."""
DEFAULT_ARGS: Final[dict[str, Any]] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": TASK_TIMEOUT,
}
