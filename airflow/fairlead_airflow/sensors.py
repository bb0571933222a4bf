"""Sensors: wait for a condition, a number of Prometheus or a new file, deferred or not."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from airflow.sdk import Connection
from airflow.sdk.definitions.context import Context

from fairlead_airflow import (
    comparisons,
    conditionwaits,
    hooks,
    httpconnection,
    links,
    listing,
    measuring,
    promql,
    storage,
    waiting,
)
from fairlead_airflow.comparisons import Number
from fairlead_airflow.sensing import WaitingSensor
from fairlead_airflow.sensortriggers import ConditionTrigger, DatasetTrigger, NumberTrigger
from fairlead_api import outcome

PROMETHEUS: Final = "fairlead_prometheus"
"""Connection of type http, where a sensor names none."""
_NONE: Final = (None, "", "None")


class ConditionSensor(WaitingSensor):
    """Waits until a condition of a resource is True, or what else it should be.

    A resource that is not there is waited for. One that has failed fails the task at once, with
    its reason. Returns ``{"kind", "namespace", "name", "condition", "status"}``.

    :param kind: FineTuneJob or ModelService.
    :param name: Of the resource (templated).
    :param condition: Its type, as Ready.
    :param status: True, False or Unknown.
    :param namespace: By default the connection's (templated).
    """

    template_fields: Sequence[str] = ("name", "namespace", "fairlead_conn_id")
    operator_extra_links = links.LINKS

    def __init__(
        self,
        *,
        kind: str,
        name: str,
        condition: str,
        status: str = "True",
        namespace: str | None = None,
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind, self.condition, self.status = kind, str(condition), str(status)
        conditionwaits.check(self.kind, self.condition, self.status)
        self.name = name
        self.namespace = namespace
        self.fairlead_conn_id = fairlead_conn_id
        self.target: hooks.Target | None = None

    def _of(self, there: hooks.FairleadHook) -> hooks.Target:
        namespace = there.default_namespace() if self.namespace in _NONE else self.namespace
        self.target = hooks.Target(self.kind, str(namespace), self.name)
        return self.target

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after the trigger's event; links and notifiers are told of what it was."""
        self._of(hooks.FairleadHook(self.fairlead_conn_id))
        return super().execute_complete(context, event)

    def look(self) -> tuple[waiting.Seen, Any]:
        """Read the resource."""
        there = hooks.FairleadHook(self.fairlead_conn_id)
        try:
            body = there.read(self._of(there))
        except hooks.Unreachable as unreachable:
            return outcome.Waiting(str(unreachable)), None
        return conditionwaits.judge(body, self.condition, self.status), self.result({})

    def trigger(self) -> ConditionTrigger:
        """What waits for it, on the watch that all share."""
        of = self._of(hooks.FairleadHook(self.fairlead_conn_id))
        return ConditionTrigger(
            **dataclasses.asdict(of),
            condition=self.condition,
            status=self.status,
            fairlead_conn_id=self.fairlead_conn_id,
        )

    def result(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Which condition of which resource it was."""
        of = self._of(hooks.FairleadHook(self.fairlead_conn_id))
        return dataclasses.asdict(of) | {"condition": self.condition, "status": self.status}


class NumberSensor(WaitingSensor):
    """Waits until a number of Prometheus is within bounds; subclasses say of which query.

    Nothing known, or Prometheus away: it waits. A query that it refuses fails the task for good.
    Returns ``{"value", "query"}``.

    :param hold: For how long the number must be within.
    :param prometheus_conn_id: Connection of type http; a password alone is a bearer token.
    """

    remembers = True

    def __init__(
        self,
        *,
        hold: timedelta = timedelta(0),
        prometheus_conn_id: str = PROMETHEUS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hold = hold
        self.prometheus_conn_id = prometheus_conn_id
        self._measure: measuring.Measure | None = None

    @abstractmethod
    def promql(self) -> str:
        """The query."""

    @abstractmethod
    def bounds(self) -> comparisons.Bounds:
        """What its number must be."""

    def look(self) -> tuple[waiting.Seen, Any]:
        """Ask Prometheus."""
        described = Connection.get(self.prometheus_conn_id)
        connection = httpconnection.of(described, described.extra_dejson)
        if self._measure is None:
            seconds = self.hold.total_seconds()
            self._measure = measuring.Measure(self.promql(), self.bounds(), seconds, time.monotonic)
        seen = asyncio.run(self._measure.look(connection))
        return seen, {"value": self._measure.value, "query": self._measure.query}

    def trigger(self) -> NumberTrigger:
        """What waits for it."""
        return NumberTrigger(
            query=self.promql(),
            bounds=dataclasses.asdict(self.bounds()),
            hold_seconds=self.hold.total_seconds(),
            poke_seconds=self.poke_interval,
            prometheus_conn_id=self.prometheus_conn_id,
        )


class GPUUtilizationSensor(NumberSensor):
    """Waits until GPUs are idle, or busy: their mean utilisation in percent, by dcgm-exporter.

    :param below: What it must be below (templated).
    :param above: What it must be above (templated).
    :param labels: Which GPUs, by the labels of their series, as ``{"Hostname": "node-1"}``
        (templated); by default all.
    :param query: Any query for one number in place of it (templated).
    """

    template_fields: Sequence[str] = ("below", "above", "labels", "query", "prometheus_conn_id")

    def __init__(
        self,
        *,
        below: Number = None,
        above: Number = None,
        labels: Mapping[str, str] | None = None,
        query: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if query and labels:
            raise ValueError("labels: the query says itself which GPUs; give one of the two")
        self.below, self.above = below, above
        self.labels = labels
        self.query = query

    def promql(self) -> str:
        """The query."""
        return self.query or promql.gpu_utilization(self.labels or {})

    def bounds(self) -> comparisons.Bounds:
        """What the utilisation must be."""
        return comparisons.parse(below=self.below, above=self.above)


class RequestBucketSensor(NumberSensor):
    """Waits until a service answers so many requests a second, no fewer, no more.

    The rate is not known, and the task waits on, while a pod of the service is younger than the
    window; and while the service has no pods.

    :param service: Name of the ModelService (templated).
    :param namespace: By default that of the connection ``fairlead_conn_id`` (templated).
    :param at_most: Requests a second (templated).
    :param at_least: Requests a second (templated).
    :param window: What the rate is taken over, in whole seconds.
    """

    template_fields: Sequence[str] = (
        "service", "namespace", "at_most", "at_least", "prometheus_conn_id", "fairlead_conn_id"
    )  # fmt: skip

    def __init__(
        self,
        *,
        service: str,
        namespace: str | None = None,
        at_most: Number = None,
        at_least: Number = None,
        window: timedelta = timedelta(minutes=5),
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if window.total_seconds() < 1 or window.microseconds:
            raise ValueError(f"window: must be whole seconds, from one on; it is {window}")
        self.service = service
        self.namespace = namespace
        self.at_most, self.at_least = at_most, at_least
        self.window = window
        self.fairlead_conn_id = fairlead_conn_id

    def promql(self) -> str:
        """The query."""
        namespace = self.namespace
        if namespace in _NONE:
            namespace = hooks.FairleadHook(self.fairlead_conn_id).default_namespace()
        return promql.request_rate(self.service, str(namespace), int(self.window.total_seconds()))

    def bounds(self) -> comparisons.Bounds:
        """What the rate must be."""
        return comparisons.parse(at_most=self.at_most, at_least=self.at_least)


class NewDatasetSensor(WaitingSensor):
    """Waits for a new file that is whole: not empty, and the same at two looks.

    Of several new ones the newest counts. Returns
    ``{"uri", "size", "mtime", "etag", "identity"}``; hand ``identity`` to the next run's ``seen``.

    :param uri: Path or address, with patterns as ``*.jsonl`` or without (templated): of a volume
        that workers and triggerers mount, or of any storage that Airflow has a provider for.
    :param conn_id: Connection to the storage (templated).
    :param seen: Identities of files that earlier runs took: they are not new (templated).
    :param since: Files last written before this moment are not new (templated).
    """

    remembers = True
    template_fields: Sequence[str] = ("uri", "conn_id", "seen", "since")

    def __init__(
        self,
        *,
        uri: str,
        conn_id: str | None = None,
        seen: Any = None,
        since: datetime | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.uri = uri
        self.conn_id = conn_id
        self.seen = seen
        self.since = since
        self._lookout: listing.Lookout | None = None

    def look(self) -> tuple[waiting.Seen, Any]:
        """List the files."""
        if self._lookout is None:
            since = listing.parse_since(self.since)
            self._lookout = listing.Lookout(listing.parse_seen(self.seen), since)
        try:
            entries = storage.entries(self.uri, self.conn_id)
        except OSError as unreadable:
            return outcome.Waiting(f"{self.uri} can't be listed now: {unreadable}"), None
        seen, found = self._lookout.judge(entries)
        return seen, found.result() if found is not None else None

    def trigger(self) -> DatasetTrigger:
        """What waits for it."""
        since = listing.parse_since(self.since)
        return DatasetTrigger(
            uri=self.uri,
            conn_id=self.conn_id,
            seen=listing.parse_seen(self.seen),
            since=since.isoformat() if since else "",
            poke_seconds=self.poke_interval,
        )
