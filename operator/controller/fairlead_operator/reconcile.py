"""Observe, plan, apply: one pass over one resource, and the workers that make them.

Holds no rule of any kind of resource: planners are given. A failure of one key backs that key
off and stands in its status as ReconcileError; it never stops another key. Losing the lease is
the exception: it ends the process.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from pydantic import ValidationError

from fairlead_api import base, conditions
from fairlead_api.base import Condition, Resource
from fairlead_api.conditions import RECONCILE_ERROR, Reason
from fairlead_operator import act, kube
from fairlead_operator.kube import Cluster, Kind
from fairlead_operator.observe import Observer
from fairlead_operator.plan import Act, Apply, CreateOnce, Manifest, Observed, Plan
from fairlead_operator.store import Key, Store
from fairlead_operator.workqueue import WorkQueue

logger: Final = logging.getLogger(__name__)
STATUS: Final = "status"
PROGRESS: Final = "progress"


class LeaseLost(Exception):
    """Another replica may be active: stop writing and leave."""


class Outcome(StrEnum):
    """How a pass over a key ended."""

    DONE = "done"
    GONE = "gone"  # the resource is no more, or on its way out
    STALE = "stale"  # something changed meanwhile: read again, try again
    UNAVAILABLE = "unavailable"  # the API server asks for patience
    FAILED = "failed"  # stands in the status as ReconcileError


@dataclass(frozen=True)
class Planner:
    """A kind's rules: how to read it and what to do about it."""

    read: Callable[[object], Resource]
    plan: Callable[[Resource, Observed, datetime], Plan]


class Tally(Protocol):
    """Told how each pass ended and how long it took."""

    def reconciled(self, kind: Kind, outcome: str, seconds: float) -> None:
        """Count one pass."""
        ...


class Reconciler:
    """Makes passes over keys."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        queue: WorkQueue[Key],
        observer: Observer,
        planners: dict[Kind, Planner],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster, self._store, self._queue = cluster, store, queue
        self._observer, self._planners, self._now = observer, planners, now

    async def work(self, tally: Tally, clock: Callable[[], float]) -> None:
        """Take keys from the queue and pass over them, until cancelled."""
        while True:
            key = await self._queue.get()
            begin = clock()
            try:
                outcome = await self.attempt(key)
            finally:
                self._queue.done(key)
            tally.reconciled(key.kind, outcome, clock() - begin)
            await asyncio.sleep(0)  # a pass over a quiet resource never waits: let others in

    async def attempt(self, key: Key) -> Outcome:
        """Pass over a key; whatever goes wrong is named, and the key tried again later."""
        try:
            outcome = await self.reconcile(key)
        except LeaseLost:
            raise
        except kube.NamespaceTerminating:
            outcome = Outcome.GONE
        except kube.Conflict as error:
            _about(key).info("%s changed meanwhile, reading it again: %s", key, error)
            outcome = await self._read_again(key)
        except (kube.Unavailable, kube.Unauthorized) as error:
            _about(key).warning("%s has to wait for the API server: %s", key, error)
            outcome = Outcome.UNAVAILABLE
        except Exception as error:
            outcome = await self._failed(key, error)
        if outcome in (Outcome.DONE, Outcome.GONE):
            self._queue.succeeded(key)
        else:
            self._queue.retry(key)
        return outcome

    async def reconcile(self, key: Key) -> Outcome:
        """Observe, plan, and make the plan true: status first, then its acts in order.

        An earlier ReconcileError stands until the acts are done: only then it is over.
        """
        manifest = self._store.get(key.kind, key.namespace, key.name)
        if manifest is None or kube.metadata(manifest).get("deletionTimestamp"):
            return Outcome.GONE
        planner = self._planners[key.kind]
        resource = planner.read(manifest)
        observed = await self._observer.observe(key, resource)
        now = self._now()
        plan = planner.plan(resource, observed, now)
        error, seen = _error_of(manifest), manifest
        if plan.status is not None:
            status = _with_error(plan.status, error)
            manifest = await self._write_status(key.kind, manifest, status)
        if manifest is seen and any(map(_brings_in, plan.acts)):
            await self._check_current(key, manifest)
        for step in plan.acts:
            await act.carry_out(step, resource.metadata.uid, self._cluster, self._store)
        if error:
            await self._write_status(key.kind, manifest, _with_error(_own_status(manifest), []))
        if plan.requeue_at is not None:
            self._queue.add_after(key, (plan.requeue_at - now).total_seconds())
        return Outcome.DONE

    async def _write_status(self, kind: Kind, manifest: Manifest, status: Manifest) -> Manifest:
        """Apply the whole status that is ours, if it differs; returns the object as it stands.

        The resourceVersion makes a decision on a stale observation a Conflict, so the monotone
        facts (attempt numbers, pins) never go back.
        """
        if _own_status(manifest) == status:
            return manifest
        head = kube.metadata(manifest)
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                field: head[field] for field in ("name", "namespace", "uid", "resourceVersion")
            },
            STATUS: status,
        }
        try:
            written = await self._cluster.apply(body, subresource=STATUS)
        except kube.NotFound as error:  # deleted meanwhile: no failure, there is nothing to do
            raise kube.Conflict(str(error), error.status) from None
        self._store.put(kind, written)
        return written

    async def _check_current(self, key: Key, seen: Manifest) -> None:
        """Raise Conflict where a resource isn't as it was seen: it may want no such child now.

        A status that was just written tells as much. Watches keep no order among kinds: a child
        that is missed may be collected with its resource, or have ended long ago.
        """
        try:
            live = await self._cluster.get(key.kind, key.namespace, key.name)
        except kube.NotFound as error:
            raise kube.Conflict(f"{key} is gone", error.status) from None
        head, head_seen = kube.metadata(live), kube.metadata(seen)
        if head["uid"] != head_seen["uid"] or head.get("deletionTimestamp"):
            raise kube.Conflict(f"{key} is on its way out, or another one of the name", 409)
        is_edited = head.get("generation") != head_seen.get("generation")
        if is_edited or _own_status(live) != _own_status(seen):
            raise kube.Conflict(f"{key} was written since it was seen", 409)

    async def _read_again(self, key: Key) -> Outcome:
        """Renew the cache after a conflict: the resource, and its children if that was not it.

        Pods are left out: nothing of ours writes to them, and a job may have thousands.
        """
        try:
            parent = self._store.get(key.kind, key.namespace, key.name)
            if parent is None or await self._renew(key.kind, parent):
                return Outcome.STALE
            for kind in kube.WRITTEN:
                for child in self._store.children(key, kind):
                    await self._renew(kind, child)
        except kube.ClusterError as error:
            _about(key).warning("%s could not be read again: %s", key, error)
        return Outcome.STALE

    async def _renew(self, kind: Kind, manifest: Manifest) -> bool:
        """Whether the live object differs from what the cache held."""
        head = kube.metadata(manifest)
        try:
            live = await self._cluster.get(kind, head["namespace"], head["name"])
        except kube.NotFound:
            return self._store.drop(kind, head["namespace"], head["name"], head["uid"])
        return self._store.put(kind, live)

    async def _failed(self, key: Key, error: Exception) -> Outcome:
        """Name a failure in the resource's status; what it did before stays as it is."""
        reason, message = _explain(error)
        if reason is Reason.EXCEPTION:
            _about(key).exception("%s: reconciling failed", key)
        else:
            _about(key).warning("%s: %s", key, message)
        manifest = self._store.get(key.kind, key.namespace, key.name)
        if manifest is None:
            return Outcome.GONE
        status = _own_status(manifest)
        condition = conditions.condition(
            RECONCILE_ERROR,
            True,
            reason,
            message,
            now=self._now(),
            generation=kube.metadata(manifest).get("generation", 0),
        )
        merged = conditions.merge(_readable(status.get("conditions") or []), [condition])
        status["conditions"] = [one.as_object() for one in merged]
        try:
            await self._write_status(key.kind, manifest, status)
        except kube.ClusterError as refusal:
            _about(key).warning("%s: its ReconcileError could not be written: %s", key, refusal)
            if isinstance(refusal, kube.Conflict):
                return await self._read_again(key)
        return Outcome.FAILED


def _brings_in(step: Act) -> bool:
    """Whether an act makes a child that wasn't seen."""
    return isinstance(step, CreateOnce) or (isinstance(step, Apply) and step.seen is None)


def _about(key: Key) -> "logging.LoggerAdapter[logging.Logger]":
    """A logger whose lines carry the resource as a field of their own."""
    reference = {
        "apiVersion": key.kind.api_version,
        "kind": key.kind.kind,
        "namespace": key.namespace,
        "name": key.name,
    }
    return logging.LoggerAdapter(logger, {"object": reference})


def _explain(error: Exception) -> tuple[Reason, str]:
    """Reason and message of a failure, without anything that changes from try to try."""
    if isinstance(error, ValidationError):
        return Reason.UNREADABLE, base.faults(error)
    if isinstance(error, act.ForeignChild):
        return Reason.FOREIGN_CHILD, str(error)
    if isinstance(error, kube.ClusterError):
        return Reason.REFUSED, str(error)
    return Reason.EXCEPTION, f"{type(error).__name__}: {error}; see the operator's log"


def _own_status(manifest: Manifest) -> Manifest:
    """The part of a status that our field manager owns."""
    status: Manifest = manifest.get(STATUS) or {}
    return {field: value for field, value in status.items() if field != PROGRESS}


def _error_of(manifest: Manifest) -> list[Manifest]:
    """The ReconcileError that stands in a status, as a list of one or none."""
    return [
        c for c in _own_status(manifest).get("conditions") or [] if c["type"] == RECONCILE_ERROR
    ]


def _with_error(status: Manifest, error: list[Manifest]) -> Manifest:
    """Our part of a status, with this ReconcileError or none at the end of its conditions."""
    others = [c for c in status.get("conditions") or [] if c["type"] != RECONCILE_ERROR]
    own = {field: value for field, value in status.items() if field != PROGRESS}
    return own | {"conditions": others + error}


def _readable(raw: list[Manifest]) -> list[Condition]:
    """The conditions that this version can read; the rest is the planners' to write anew."""
    found = []
    for condition in raw:
        try:
            found.append(Condition.model_validate(condition))
        except ValidationError:
            continue
    return found
