"""The task that puts back the model before, unless the new one was found good."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk.definitions.context import Context

from fairlead_airflow import following, hooks, manifests, naming, submission
from fairlead_airflow.operators.resource import task_key
from fairlead_airflow.operators.serving import ServeOperator
from fairlead_airflow.pipelines import outcomes


class RollBackOperator(ServeOperator):
    """Serves again what served before a deployment that went wrong; a teardown.

    Does nothing where the deployment was found good or never came to change the service, and
    leaves alone what others have changed since. A service that the deployment made is deleted.

    :param record: What the deployment changed, as ``deploying.record`` has it (templated).
    :param deployed_by: Id of the task that changed the service.
    :param found_good_by: Id of the task whose success says that it is good.
    """

    template_fields: Sequence[str] = ("record", "name", "namespace", "fairlead_conn_id")

    def __init__(self, *, record: Any, deployed_by: str, found_good_by: str, **kwargs: Any) -> None:
        super().__init__(manifest={}, **kwargs)
        self.record = record
        self.deployed_by = deployed_by
        self.found_good_by = found_good_by

    def execute(self, context: Context) -> dict[str, Any]:
        """Put it back, and wait until it is Ready."""
        if self._is_found_good(context):
            self.log.info("the deployment was found good: it stays")
            return {}
        with hooks.failing_at_once():
            return self._go_back(context)

    def _go_back(self, context: Context) -> dict[str, Any]:
        namespace = self.namespace or self.hook.default_namespace()
        of = hooks.Target(self.kind, namespace, str(self.name))
        found = self.hook.read(of)
        if why := self._why_left(found):
            self.log.info("%s is left as it is: %s", of, why)
            return {}
        if self.record["before"] is None:
            self._delete(of, found, task_key(context))
            return {}
        self.log.warning("%s: back to the model before, %s", of, self.record["before"]["model"])
        return super().execute(context)

    def _is_found_good(self, context: Context) -> bool:
        """By the task's state: what it handed on in a run cleared since is still there."""
        ti: Any = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        return bool(states.get(self.found_good_by) == outcomes.SUCCESS)

    def body(self, context: Context) -> manifests.Manifest:
        """The service as it was."""
        self.manifest = {"spec": self.record["before"]}
        return super().body(context)

    def _why_left(self, found: Mapping[str, Any] | None) -> str:
        if not self.record:
            return "the run ended before it was changed"
        if found is None:
            return "it is not there"
        if found["spec"]["model"] != self.record["model"]:
            return "it doesn't serve this run's model"
        return ""

    def _delete(
        self, of: hooks.Target, found: Mapping[str, Any] | None, key: naming.TaskKey
    ) -> None:
        maker = naming.TaskKey(key.dag_id, self.deployed_by, key.run_id)
        if found is None or not submission.made(found, maker):
            self.log.info("%s is left as it is: this run did not make it", of)
            return
        self.log.warning("%s served nothing before: deleting it", of)
        uid = found["metadata"]["uid"]
        self.hook.delete(of, uid)
        following.until_gone(self.hook, of, uid, self.log.info)
