"""Tells a webhook how a task or a run ended; where that fails the log says so, and no task fails.

The connection is of type http: its address may be the webhook's whole, or leave what is secret of
it to ``path`` in the extra, which no log shows.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
from airflow.sdk import BaseNotifier, Connection
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from airflow.sdk.log import amask_secret, mask_secret

from fairlead_airflow import httpconnection, notification
from fairlead_airflow.httpconnection import HttpConnection

WEBHOOK: Final = "fairlead_webhook"
"""Connection where a notifier names none."""
TIMEOUT_SECONDS: Final = 10.0
_NONE: Final = (None, "", "None")
_UNTOLD: Final = (
    aiohttp.ClientError,
    OSError,  # TimeoutError is one
    httpconnection.InvalidConnection,
    AirflowNotFoundException,
    AirflowRuntimeError,
)


class NotTaken(OSError):
    """The webhook doesn't take it."""


class FairleadNotifier(BaseNotifier):
    """Posts one JSON object: ``text``, as Slack and its like show it, and fields for programs.

    For ``on_failure_callback``, ``on_success_callback`` and the like, of a task or a DAG; or for
    a call within a task, with its context. It never raises.

    :param webhook_conn_id: Connection of type http (templated); where it is empty nobody is told.
    :param text: What to say in place of what dag, task, run and reason say (templated).
    :param timeout_seconds: Longest that the webhook may take.
    """

    template_fields: Sequence[str] = ("webhook_conn_id", "text")

    def __init__(
        self,
        *,
        webhook_conn_id: str | None = WEBHOOK,
        text: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        self.webhook_conn_id = webhook_conn_id
        self.text = text
        self.timeout_seconds = timeout_seconds

    def __call__(self, *args: Any) -> None:
        """Tell; a template that can't be rendered is told in the log, too."""
        try:
            super().__call__(*args)
        except Exception as failure:  # of the DAG's own template; the task's end stands
            self._say(failure)

    def notify(self, context: Context) -> None:
        """Tell, from a worker or the DAG processor."""
        try:
            if (conn_id := self._conn_id()) is None:
                return
            described = Connection.get(conn_id)
            connection = httpconnection.of(described, described.extra_dejson)
            mask_secret(connection.path)
            asyncio.run(self._post(connection, self._body(context)))
        except _UNTOLD as failure:
            self._say(failure)

    async def async_notify(self, context: Context) -> None:
        """Tell, from the triggerer."""
        try:
            if (conn_id := self._conn_id()) is None:
                return
            described = await Connection.async_get(conn_id)
            connection = httpconnection.of(described, await described.aextra_dejson())
            await amask_secret(connection.path)
            await self._post(connection, self._body(context))
        except _UNTOLD as failure:
            self._say(failure)

    def _conn_id(self) -> str | None:
        if self.webhook_conn_id in _NONE:
            self.log.info("no connection is named: nobody is told")
            return None
        return self.webhook_conn_id

    def _body(self, context: Context) -> str:
        """What is sent, without what Airflow knows as a secret."""
        return json.dumps(redact(notification.payload(context, self.text)), default=str)

    async def _post(self, connection: HttpConnection, body: str) -> None:
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        headers = connection.headers | {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.post(
                connection.url + connection.path, data=body, ssl=connection.tls(),
                allow_redirects=False,
            ) as answer,
        ):  # fmt: skip
            if answer.status >= 300:
                said = (await answer.text(errors="replace"))[:200]
                raise NotTaken(f"it answers {answer.status}: {said}")
        self.log.info("told by connection %s", connection.conn_id)

    def _say(self, failure: Exception) -> None:
        why = str(failure) or type(failure).__name__
        self.log.error("nobody was told by connection %s: %s", self.webhook_conn_id, redact(why))
