"""The tasks that end every run: one deletes what nobody needs any more, one says how it ended.

Both are teardowns: Airflow runs them also in a run that somebody marked as failed, where it skips
all other tasks. Then, it would take the state of the run off the skipped ones; hence ``watcher``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import following, hooks, naming, submission
from fairlead_airflow.operators.resource import task_key
from fairlead_airflow.pipelines import outcomes
from fairlead_api import names, outcome

CLEAN_UP: Final = "clean_up"
WATCHER: Final = "watcher"


class CleanUpOperator(BaseOperator):
    """Deletes the FineTuneJobs of this very run, and the services that its DAG makes for a while.

    A service has the same name in every run, and its maker is who made it first: one that an
    earlier run could not delete would stay for good if only this run's counted. The DAG must have
    one run at a time (``max_active_runs=1``).

    :param services: ModelServices, each as ``{"name": …, "made_by": [ids of tasks]}``; templated,
        where Airflow leaves the keys of mappings as they are. Deleted, whichever run made them.
    :param jobs: Ids of tasks that made FineTuneJobs, named by their run. A job that is not over
        is deleted: nobody waits for it any more.
    :param keep_jobs: Whether those that are over stay; ``True`` or ``False`` (templated).
    """

    template_fields: Sequence[str] = ("services", "keep_jobs", "namespace", "fairlead_conn_id")
    ui_color = "#f3ece0"

    def __init__(
        self,
        *,
        services: Sequence[Mapping[str, Any]] = (),
        jobs: Sequence[str] = (),
        keep_jobs: str = "True",
        namespace: str | None = None,
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.services = services
        self.jobs = jobs
        self.keep_jobs = keep_jobs
        self.namespace = namespace
        self.fairlead_conn_id = fairlead_conn_id

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Delete, and wait until it is gone; returns what was deleted and what was left."""
        with hooks.failing_at_once():  # else the next run waits for tries that are in vain
            return self._clean(hooks.FairleadHook(self.fairlead_conn_id), task_key(context))

    def _clean(self, there: hooks.FairleadHook, key: naming.TaskKey) -> dict[str, list[str]]:
        namespace = self.namespace or there.default_namespace()
        done: dict[str, list[str]] = {"deleted": [], "kept": []}
        for of, makers in self._targets(namespace, key):
            found = there.read(of)
            if found is None:
                continue
            why = self._why_kept(found, makers)
            if why:
                self.log.info("%s stays: %s", of, why)
                done["kept"].append(str(of))
                continue
            uid = found["metadata"]["uid"]
            self.log.info("deleting %s", of)
            there.delete(of, uid)
            following.until_gone(there, of, uid, self.log.info)
            done["deleted"].append(str(of))
        return done

    def _targets(
        self, namespace: str, key: naming.TaskKey
    ) -> Iterable[tuple[hooks.Target, list[naming.TaskKey]]]:
        """What may be there, and which tasks would have made it."""
        for service in self.services:
            made_by = service["made_by"]
            makers = [naming.TaskKey(key.dag_id, each, key.run_id) for each in made_by]
            yield hooks.Target(names.MODELSERVICE, namespace, service["name"]), makers
        for task_id in self.jobs:
            maker = naming.TaskKey(key.dag_id, task_id, key.run_id)
            name = naming.resource_name(maker)
            yield hooks.Target(names.FINETUNEJOB, namespace, name), [maker]

    def _why_kept(self, found: Mapping[str, Any], makers: Sequence[naming.TaskKey]) -> str:
        is_job = found["kind"] == names.FINETUNEJOB
        is_made_by = submission.made if is_job else submission.made_in_any_run
        if not any(is_made_by(found, maker) for maker in makers):
            return "this DAG's tasks did not make it"
        if not is_job or self.keep_jobs != "True":
            return ""
        is_over = not isinstance(outcome.of_body(found), outcome.Waiting)
        return "it is over, and keep_job is set" if is_over else ""


class WatcherOperator(BaseOperator):
    """Fails where a task of the run failed, or where the run was ended before it was done.

    :param ends: Ids of tasks of which one must have succeeded.
    """

    ui_color = "#f3ece0"

    def __init__(self, *, ends: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ends = ends

    def execute(self, context: Context) -> str:
        """Ask Airflow for the run's tasks; returns the end that was reached."""
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        try:
            return outcomes.require_success(states, self.ends)
        except outcomes.RunFailed as failed:
            raise AirflowFailException(str(failed)) from failed


def finish(
    ends: Sequence[BaseOperator],
    clean_up: BaseOperator,
    also: Sequence[BaseOperator] = (),
    after: Sequence[BaseOperator] = (),
) -> None:
    """Have a run end in clean-up and watcher, whatever becomes of it.

    Args:
        ends: Tasks of which one must have succeeded.
        clean_up: The task that cleans up.
        also: Further tasks that must be over by then.
        after: What clean-up waits for; all of these where empty.
    """
    last = [*ends, *also]
    watcher = WatcherOperator(task_id=WATCHER, ends=[task.task_id for task in ends], retries=0)
    [*(after or last)] >> clean_up.as_teardown()
    [clean_up, *last] >> watcher.as_teardown(on_failure_fail_dagrun=True)
