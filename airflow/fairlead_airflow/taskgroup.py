"""One FineTuneJob as a group of tasks: what the job does is seen stage by stage in the grid.

The tasks are cheap: one makes the job, the others wait on the stream that all waiters share.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from airflow.sdk import BaseOperator, TaskGroup

from fairlead_airflow import stages
from fairlead_airflow.operators.stages import StageSensor, SubmitOperator
from fairlead_airflow.operators.training import FineTuneOperator

SUBMIT: Final = "submit"
SINGLE: Final = "fine_tune"


class Granularity(StrEnum):
    """How much of a job is seen."""

    STAGE = "stage"  # submit, then a task for each stage
    SINGLE = "single"  # one task


class FineTunePipelineTaskGroup(TaskGroup):
    """Trains a model by one FineTuneJob, told by its stages.

    A stage that fails fails its task with the job's reason, and the later ones are not run. Who
    kills the task that waits ends the job. Tasks of stages may be cleared: they look again. To
    make a failed job anew, clear ``submit`` and what follows it.

    Args:
        group_id: As any task group's.
        manifest: The FineTuneJob as FineTuneOperator takes it; this or ``spec``.
        spec: Its spec alone.
        granularity: ``stage``, or ``single`` for one task.
        arguments: Of each task, e.g. ``fairlead_conn_id``, ``on_kill_action``, ``deferrable``,
            ``retries``.
        submit: Of the task that makes the job only, e.g. ``name``, ``namespace``.
        group: Of TaskGroup, e.g. ``tooltip``.
    """

    def __init__(
        self,
        group_id: str,
        manifest: Any = None,
        *,
        spec: Any = None,
        granularity: str = Granularity.STAGE,
        arguments: Mapping[str, Any] | None = None,
        submit: Mapping[str, Any] | None = None,
        **group: Any,
    ) -> None:
        if (manifest is None) == (spec is None):
            raise ValueError(f"group {group_id}: give either manifest or spec")
        super().__init__(group_id=group_id, **group)
        whole = {"spec": spec} if manifest is None else manifest
        of_all = dict(arguments or {})
        of_first = {"manifest": whole, **of_all, **(submit or {})}
        with self:
            if Granularity(granularity) is Granularity.SINGLE:
                self.last: BaseOperator = FineTuneOperator(task_id=SINGLE, **of_first)
            else:
                self.last = _chain(SubmitOperator(task_id=SUBMIT, **of_first), of_all)

    @property
    def result(self) -> Any:
        """What the job came to, as FineTuneOperator hands it on."""
        return self.last.output


def _chain(made: SubmitOperator, arguments: dict[str, Any]) -> BaseOperator:
    """A task for each stage, one after the other; returns the last."""
    before: BaseOperator = made
    for stage, task_id in stages.TASK_IDS.items():
        waits = StageSensor(task_id=task_id, job=made.output, stage=stage.value, **arguments)
        before >> waits
        before = waits
    return before
