"""The task of one resource: makes it, waits until it is done and hands on what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Final, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferralError,
    TaskDeferralTimeout,
)

from fairlead_airflow import (
    ending,
    following,
    hooks,
    links,
    manifests,
    naming,
    results,
    submission,
    waiting,
)
from fairlead_airflow.ending import OnKill
from fairlead_airflow.submission import Step
from fairlead_airflow.triggers import ResourceTrigger
from fairlead_api import names, termination
from fairlead_api.conditions import Reason

_NOT_MENDED_BY_A_RETRY: Final = termination.USER_CAUSES | {Reason.ARGUMENT_REFUSED}


class ResourceOperator(BaseOperator):
    """What all tasks of one resource share; subclasses say of which kind.

    :param manifest: The resource as a mapping, as YAML or as a path to a file of it (templated).
        apiVersion, kind, name and namespace may be left out.
    :param name: Name of the resource; by default one of this task's run, so that a task that is
        run again finds its work.
    :param namespace: By default the connection's.
    :param deferrable: Wait in the triggerer, not in a worker's slot.
    :param on_kill_action: What becomes of the work of a killed task: delete, suspend or keep.
    """

    kind: ClassVar[str]
    template_fields: Sequence[str] = ("manifest", "name", "namespace", "fairlead_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"manifest": "yaml"}
    template_ext: Sequence[str] = (".yaml", ".yml")
    ui_color = "#e3f0ea"
    operator_extra_links = links.LINKS

    def __init__(
        self,
        *,
        manifest: Mapping[str, Any] | str,
        name: str | None = None,
        namespace: str | None = None,
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        deferrable: bool = True,
        on_kill_action: str = OnKill.DELETE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.name = name
        self.namespace = namespace
        self.fairlead_conn_id = fairlead_conn_id
        self.deferrable = deferrable
        self.on_kill_action = OnKill(on_kill_action)
        if self.on_kill_action is OnKill.SUSPEND and self.kind != names.FINETUNEJOB:
            raise ValueError(f"on_kill_action: a {self.kind} can't be suspended")
        self._asked_by: naming.TaskKey | None = None
        self._work: ending.Work | None = None
        self._is_over = False
        self.target: hooks.Target | None = None

    @cached_property
    def hook(self) -> hooks.FairleadHook:
        """The connection."""
        return hooks.FairleadHook(self.fairlead_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the resource, or take over what an earlier try made, and wait for it."""
        self._asked_by = task_key(context)
        try:
            with hooks.failing_at_once():
                standing = self._begin(self.body(context))
            return self.wait_for(standing)
        except AirflowTaskTimeout:
            # Airflow tells the task to stop, too, but says that it is running.
            if self._work is not None:
                ending.now(self.hook, self._work, "out of time", self.log)
                self._work = None
            raise

    def _begin(self, wanted: manifests.Manifest) -> Mapping[str, Any]:
        standing = self.submit(wanted)
        self._work = self.work_of(standing)
        self.target = self._work.of
        if self._is_over:
            ending.now(self.hook, self._work, "killed", self.log)
            raise AirflowException(f"the task was killed while it made {self._work.of}")
        return standing

    def wait_for(self, standing: Mapping[str, Any]) -> dict[str, Any]:
        """Wait for what stands there, deferred or not, and hand on what comes of it."""
        work = self.work_of(standing)
        of, generation = work.of, standing["metadata"]["generation"]
        event = waiting.event(self.judge(standing, work.uid, generation))
        if event is None and self.deferrable:
            self.defer(
                trigger=self.trigger(work, generation),
                method_name="execute_complete",
                kwargs={"of": dataclasses.asdict(of)},
                timeout=self.execution_timeout,
            )
        if event is None:
            judge = partial(self.judge, uid=work.uid, generation=generation)
            event = following.until_done(self.hook, of, judge, self.log.info)
        return self.finish(of, event)

    def judge(self, body: Mapping[str, Any] | None, uid: str, generation: int) -> waiting.Seen:
        """What a version of the resource means to this task."""
        return waiting.judge(body, uid, generation)

    def trigger(self, work: ending.Work, generation: int) -> ResourceTrigger:
        """What waits while the task is deferred."""
        return ResourceTrigger(**self.trigger_arguments(work, generation))

    def trigger_arguments(self, work: ending.Work, generation: int) -> dict[str, Any]:
        """What any trigger of ours is told."""
        return {
            **dataclasses.asdict(work.of),
            "uid": work.uid,
            "generation": generation,
            "fairlead_conn_id": self.fairlead_conn_id,
            "task": dataclasses.asdict(self._key),
            "on_kill": work.on_kill,
        }

    @property
    def _key(self) -> naming.TaskKey:
        if self._asked_by is None:
            raise RuntimeError("execute says which task of which run this is")
        return self._asked_by

    def work_of(self, standing: Mapping[str, Any]) -> ending.Work:
        """What ends with the task: only what it made itself."""
        is_ours = submission.made(standing, self._key)
        action = self.on_kill_action if is_ours else OnKill.KEEP
        return ending.Work(hooks.Target.of(standing), standing["metadata"]["uid"], action)

    def execute_complete(
        self, context: Context, event: dict[str, str], of: dict[str, str]
    ) -> dict[str, Any]:
        """Go on after the trigger's event."""
        self.target = hooks.Target(**of)
        return self.finish(self.target, event)

    def body(self, context: Context) -> manifests.Manifest:
        """The whole manifest; an invalid one fails the task for good."""
        key = task_key(context)
        name = self.name or naming.resource_name(key)
        namespace = self.namespace or self.hook.default_namespace()
        try:
            given = manifests.parse(self.manifest)
            return manifests.complete(given, self.kind, name, namespace, key)
        except manifests.InvalidManifest as invalid:
            raise AirflowFailException(str(invalid)) from invalid

    def submit(self, wanted: manifests.Manifest) -> Mapping[str, Any]:
        """Have the resource there as wanted; returns it."""
        of = hooks.Target.of(wanted)
        while True:
            found = self.hook.read(of)
            try:
                step = submission.decide(wanted, found)
            except submission.ForeignResource as foreign:
                raise AirflowFailException(str(foreign)) from foreign
            if found is None or step is Step.APPLY:
                return self._apply(wanted, found)
            uid = found["metadata"]["uid"]
            if step is Step.ATTACH:
                self.log.info("%s is there already: waiting for it", of)
                return found
            if step is Step.RESUME:
                self.log.info("%s was suspended: it goes on", of)
                return self.hook.suspend(of, uid, suspended=False)
            if step is Step.REPLACE:
                self.log.info("%s is of another spec or has failed: made anew", of)
                self.hook.delete(of, uid)
            following.until_gone(self.hook, of, uid, self.log.info)

    def _apply(
        self, wanted: manifests.Manifest, found: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        of = hooks.Target.of(wanted)
        self.log.info("%s %s in namespace %s", "changing" if found else "making", of, of.namespace)
        return self.hook.apply(submission.with_maker(wanted, found))

    def finish(self, of: hooks.Target, event: Mapping[str, str]) -> dict[str, Any]:
        """Hand on the result; raises where there is none."""
        if event["result"] != "succeeded":
            self.fail(of, event)
        self.log.info("%s: %s", of, event["message"])
        body = self.hook.read(of)
        if body is None:
            raise AirflowException(f"{of} was deleted before this task could read its result")
        return self.result(body)

    def result(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the task hands on."""
        return results.of_body(body)

    def fail(self, of: hooks.Target, event: Mapping[str, str]) -> NoReturn:
        """Fail with the resource's own reason, after the last words of its pods."""
        try:
            for pod, lines in self.hook.failed_logs(of):
                self.log.error("last lines of pod %s:\n%s", pod, lines.rstrip())
        except (hooks.Refused, hooks.Unreachable) as unreadable:
            self.log.warning("its pods' logs can't be read: %s", unreadable)
        message = f"{of} {event['result']}: {event['reason']}: {event['message']}"
        for_good = event["reason"] in _NOT_MENDED_BY_A_RETRY
        raise (AirflowFailException if for_good else AirflowException)(message)

    def on_kill(self) -> None:
        """Told to stop in a worker: where the task is over, its work ends too."""
        if self._asked_by is not None:
            over = ending.in_worker(lambda: self.hook, self._asked_by, self._work, self.log)
            self._is_over = self._is_over or over

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Go on after the trigger; where its time was over, the work ends as by a kill."""
        self._asked_by = task_key(context)
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            self.target = self._waited_for(context)
            if self.target is not None:
                self._end_late(self.target)
            raise
        except TaskDeferralError:
            self.target = self._waited_for(context)
            raise

    def _waited_for(self, context: Context) -> hooks.Target | None:
        """As the DAG names it now: with its failure Airflow hands on nothing else."""
        try:
            return hooks.Target.of(self.body(context))
        except AirflowException as failure:
            self.log.error("which resource it waited for can't be told any more: %s", failure)
            return None

    def _end_late(self, of: hooks.Target) -> None:
        try:
            found = self.hook.read(of, ending.KILL_SECONDS)
        except (hooks.Refused, hooks.Unreachable) as failure:
            self.log.error("out of time, but %s can't be read, and goes on: %s", of, failure)
            return
        if found is None:
            self.log.warning(
                "out of time, but %s is not there in namespace %s; if the task named another one"
                " when it began, that goes on: it has the annotation %s: %s",
                of, of.namespace, names.ANNOTATION_TASK, self._key,
            )  # fmt: skip
            return
        ending.now(self.hook, self.work_of(found), "out of time", self.log)


def task_key(context: Context) -> naming.TaskKey:
    """Which task of which run this is, whichever try."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return naming.TaskKey(ti.dag_id, ti.task_id, ti.run_id, map_index)
