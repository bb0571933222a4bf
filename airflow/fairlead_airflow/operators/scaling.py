"""The task that scales a service up for a while, and back."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import tenacity
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fairlead_airflow import ending, hooks, manifests, replicas, waiting
from fairlead_airflow.ending import OnKill
from fairlead_airflow.operators.resource import ResourceOperator
from fairlead_airflow.scaletrigger import ScaleTrigger
from fairlead_api import names

_CONFLICT: Final = 409
_TRIES: Final = 20
"""Versions of a service that others change at once, looked at before the task gives up."""


class Conflict(AirflowException):
    """Others changed the service between a look at it and the change."""


class ScaleOperator(ResourceOperator):
    """Sets how many replicas a ModelService has and waits until so many are ready.

    A killed task changes nothing back: give the clean-up to a task with ``restores=True`` and
    ``trigger_rule="all_done"``. Returns ``{"kind", "namespace", "name", "uid", "replicas"}``.

    :param name: Name of the ModelService (templated).
    :param replicas: Exactly so many (templated).
    :param at_least: So many, or more where there are more already (templated); the count before
        is noted at the service.
    :param restores: Put back what a task with ``at_least`` noted, unless somebody has scaled the
        service otherwise since; nothing to do where there is no note, or no such service. Doesn't
        wait.
    """

    kind = names.MODELSERVICE
    template_fields: Sequence[str] = (
        "name",
        "namespace",
        "replicas",
        "at_least",
        "fairlead_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {}
    ui_color = "#e3eaf0"

    def __init__(
        self,
        *,
        name: str,
        replicas: int | str | None = None,
        at_least: int | str | None = None,
        restores: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(manifest={}, name=name, on_kill_action=OnKill.KEEP, **kwargs)
        self.replicas = replicas
        self.at_least = at_least
        self.restores = restores
        if (replicas is not None) + (at_least is not None) + restores != 1:
            raise ValueError("give one of replicas, at_least and restores=True")

    def execute(self, context: Context) -> dict[str, Any]:
        """Scale, and wait; a service to be restored may be gone."""
        if self.restores:
            with hooks.failing_at_once():
                found = self._scaled(hooks.Target.of(self.body(context)))
            return self.result(found) if found is not None else {}
        return super().execute(context)

    def body(self, context: Context) -> manifests.Manifest:
        """As much of the service as says which one it is."""
        namespace = self.namespace or self.hook.default_namespace()
        return {"kind": self.kind, "metadata": {"namespace": namespace, "name": self.name}}

    def submit(self, wanted: manifests.Manifest) -> Mapping[str, Any]:
        """The service, scaled."""
        of = hooks.Target.of(wanted)
        found = self._scaled(of)
        if found is None:
            raise AirflowException(f"{of} is not there (namespace {of.namespace})")
        return found

    def work_of(self, standing: Mapping[str, Any]) -> ending.Work:
        """Nothing ends with this task."""
        return ending.Work(hooks.Target.of(standing), standing["metadata"]["uid"], OnKill.KEEP)

    def trigger(self, work: ending.Work, generation: int) -> ScaleTrigger:
        """What waits for the replicas."""
        of_service = self.trigger_arguments(work, generation)
        return ScaleTrigger(replicas=self._wanted(), **of_service)

    def judge(self, body: Mapping[str, Any] | None, uid: str, generation: int) -> waiting.Seen:
        """What a version of the service means for its replicas."""
        return replicas.judge(body, uid, generation, self._wanted())

    def result(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Which service it is, and its replicas now."""
        of = hooks.Target.of(body)
        own = {"kind": of.kind, "namespace": of.namespace, "name": of.name}
        return own | {"uid": body["metadata"]["uid"], "replicas": body["spec"]["replicas"]}

    def _wish(self) -> replicas.Wish:
        try:
            return replicas.Wish(
                replicas.count("replicas", self.replicas),
                replicas.count("at_least", self.at_least),
                self.restores,
            )
        except replicas.InvalidCount as invalid:
            raise AirflowFailException(str(invalid)) from invalid

    def _wanted(self) -> int:
        wish = self._wish()
        return (wish.replicas if wish.at_least is None else wish.at_least) or 0

    def _scaled(self, of: hooks.Target) -> Mapping[str, Any] | None:
        """The service after the change; None where there is none, or it is on its way out."""
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Conflict),
            stop=tenacity.stop_after_attempt(_TRIES),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            reraise=True,
        )
        return again(self._scale, of)

    def _scale(self, of: hooks.Target) -> Mapping[str, Any] | None:
        found = self.hook.read(of)
        if found is None or found["metadata"].get("deletionTimestamp"):
            self.log.info("%s is not there", of)
            return None
        patch = replicas.patch(found, self._wish())
        now = found["spec"]["replicas"]
        if patch is None:
            self.log.info("%s has %s replicas: nothing to change", of, now)
            return found
        self.log.info("%s: replicas %s -> %s", of, now, patch.get("spec", {}).get("replicas", now))
        try:
            return self.hook.merge(of, patch)
        except hooks.Refused as refused:
            if refused.status != _CONFLICT:
                raise
            raise Conflict(f"{of} is changed by others all the time: {refused}") from refused
