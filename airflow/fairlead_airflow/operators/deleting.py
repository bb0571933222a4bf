"""The task that deletes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import following, hooks


class DeleteOperator(BaseOperator):
    """Deletes a FineTuneJob or a ModelService and waits until it is gone; none there is fine."""

    template_fields: Sequence[str] = ("kind", "name", "namespace", "fairlead_conn_id")

    def __init__(
        self,
        *,
        kind: str,
        name: str,
        namespace: str | None = None,
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.name = name
        self.namespace = namespace
        self.fairlead_conn_id = fairlead_conn_id

    def execute(self, context: Context) -> None:
        """Delete, and wait."""
        if self.kind not in hooks.PLURALS:
            known = ", ".join(hooks.PLURALS)
            raise AirflowFailException(f"kind {self.kind!r} is not one of {known}")
        with hooks.failing_at_once():
            self._delete(hooks.FairleadHook(self.fairlead_conn_id))

    def _delete(self, there: hooks.FairleadHook) -> None:
        of = hooks.Target(self.kind, self.namespace or there.default_namespace(), self.name)
        found = there.read(of)
        if found is None:
            self.log.info("%s is not there", of)
            return
        uid = found["metadata"]["uid"]
        there.delete(of, uid)
        following.until_gone(there, of, uid, self.log.info)
