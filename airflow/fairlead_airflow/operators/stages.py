"""The tasks of one FineTuneJob told by its stages: one makes it, one waits for each stage."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fairlead_airflow import ending, hooks, manifests, results, stages, waiting
from fairlead_airflow.operators.resource import ResourceOperator
from fairlead_airflow.operators.training import FineTuneOperator
from fairlead_airflow.stagetrigger import StageTrigger
from fairlead_api import names
from fairlead_api.finetunestatus import Stage


class SubmitOperator(FineTuneOperator):
    """Makes a FineTuneJob and doesn't wait for it; the tasks of its stages do.

    Returns ``{"kind", "namespace", "name", "uid", "generation"}``.
    """

    def wait_for(self, standing: Mapping[str, Any]) -> dict[str, Any]:
        """Hand on which job it is."""
        of, metadata = hooks.Target.of(standing), standing["metadata"]
        return {
            **dataclasses.asdict(of),
            "uid": metadata["uid"],
            "generation": metadata["generation"],
        }


class StageSensor(ResourceOperator):
    """Waits for the end of one stage of a FineTuneJob that an earlier task made.

    A failure is for good: the job itself has tried again as often as its maxRestarts says, and
    only the task that made it can make it anew. Killed or out of time, it ends the job.

    :param job: What the task that made the job handed on (templated).
    :param stage: Prepare, Train or Export.

    Returns the stage's status; that of the last stage the job's result, as FineTuneOperator does.
    """

    kind = names.FINETUNEJOB
    template_fields: Sequence[str] = ("job", "fairlead_conn_id")
    ui_color = "#eef3e3"

    def __init__(self, *, job: Any, stage: str, **kwargs: Any) -> None:
        super().__init__(manifest={}, **kwargs)
        self.job = job
        self.stage = Stage(stage)

    def body(self, context: Context) -> manifests.Manifest:
        """As much of the job as says which one it is."""
        if not isinstance(self.job, Mapping) or "uid" not in self.job:
            raise AirflowFailException(
                f"job: {self.job!r} is not what a task that makes a FineTuneJob hands on;"
                " did that task run?"
            )
        place = {key: self.job[key] for key in ("namespace", "name")}
        return {"kind": self.kind, "metadata": place}

    def submit(self, wanted: manifests.Manifest) -> Mapping[str, Any]:
        """The job, which is there already."""
        of = hooks.Target.of(wanted)
        found = self.hook.read(of)
        if found is None or found["metadata"]["uid"] != self.job["uid"]:
            raise AirflowFailException(f"{of} is gone: it was deleted after the task that made it")
        return found

    def work_of(self, standing: Mapping[str, Any]) -> ending.Work:
        """The job ends with each of its tasks."""
        return ending.Work(hooks.Target.of(standing), self.job["uid"], self.on_kill_action)

    def trigger(self, work: ending.Work, generation: int) -> StageTrigger:
        """What waits for the stage."""
        return StageTrigger(stage=self.stage.value, **self.trigger_arguments(work, generation))

    def judge(self, body: Mapping[str, Any] | None, uid: str, generation: int) -> waiting.Seen:
        """What a version of the job means for its stage."""
        return stages.judge(body, uid, generation, self.stage)

    def result(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the stage leaves."""
        if self.stage is stages.LAST:
            return results.of_body(body)
        return stages.result(body, self.stage)

    def fail(self, of: hooks.Target, event: Mapping[str, str]) -> NoReturn:
        """Name the reason, and who can make the job anew."""
        try:
            super().fail(of, event)
        except AirflowException as failure:
            anew = "to make the job anew, clear the task that made it"
            raise AirflowFailException(f"{failure}; {anew}") from failure
