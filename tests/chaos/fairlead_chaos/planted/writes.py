"""Bugs in how the operator writes: names, owners, preconditions, what is done with a refusal.

Each function plants one in this process, which then is an operator with that bug. It takes one
protection away and leaves the rest of the product as it is.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from fairlead_api import names
from fairlead_chaos.planted.swap import swap
from fairlead_operator import act, kube, plan
from fairlead_operator.cluster import ApiCluster
from fairlead_operator.finetune import children as jobs
from fairlead_operator.finetune import plan as finetune
from fairlead_operator.kube import Cluster, Kind
from fairlead_operator.plan import Apply, Delete, Manifest, Seen
from fairlead_operator.reconcile import Reconciler
from fairlead_operator.serving import plan as serving
from fairlead_operator.serving import standing
from fairlead_operator.store import Store

_KEEPER: Final = "fairlead-keeper"
_FINALIZER: Final = f"{names.GROUP}/drained"


def delete_by_name() -> None:
    """A delete carries no uid: it takes whatever has the name by then."""
    _change_deletes(lambda body: {k: v for k, v in body.items() if k != "preconditions"})


def delete_orphans() -> None:
    """A delete leaves the children of what it deletes behind."""
    _change_deletes(lambda body: body | {"propagationPolicy": "Orphan"})


def _change_deletes(change: Callable[[Manifest], Manifest]) -> None:
    real = ApiCluster._call

    async def call(self: ApiCluster, verb: str, *rest: Any, **more: Any) -> Manifest:
        if verb == "delete":
            more["body"] = change(more["body"])
        return await real(self, verb, *rest, **more)

    swap(ApiCluster, _call=call)


def generate_names() -> None:
    """An attempt's Job gets a random name and is found by its labels: a repeat makes another."""
    real = ApiCluster.create

    async def create(self: ApiCluster, manifest: Manifest) -> Manifest:
        if manifest["kind"] == "Job":
            head = {key: one for key, one in manifest["metadata"].items() if key != "name"}
            head["generateName"] = f"{manifest['metadata']['name']}-"
            manifest = manifest | {"metadata": head}
        return await real(self, manifest)

    def attempt(self: jobs.Children, stage: str, number: int) -> Manifest | None:
        marks = {names.LABEL_STAGE: stage.lower(), names.LABEL_ATTEMPT: str(number)}
        found = (job for job in self.jobs if marks.items() <= job["metadata"]["labels"].items())
        return next(found, None)

    swap(ApiCluster, create=create)
    swap(jobs.Children, attempt=attempt)


def adopt_by_name() -> None:
    """What a resource of our name owns is ours, whichever uid that one had."""

    def owned_by(manifest: Manifest, uid: str) -> bool:
        owner = plan.controller(manifest)
        of_us = str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/")
        return of_us or owner.get("uid") == uid

    for module in (plan, jobs, finetune, serving):
        swap(module, owned_by=owned_by)
    swap(plan, is_leftover=lambda *_: False)


def apply_without_uid() -> None:
    """An apply says nothing of which object it saw: it brings back what was deleted since."""

    async def apply(act_: Apply, cluster: Cluster, store: Store) -> None:
        store.put(kube.kind_of(act_.manifest), await cluster.apply(act_.manifest))

    swap(act, _apply=apply)


def create_what_is_absent() -> None:
    """Look, then create; a create that finds the object there after all is an error."""

    async def create_once(manifest: Manifest, cluster: Cluster, store: Store) -> None:
        kind, head = kube.kind_of(manifest), manifest["metadata"]
        try:
            made = await cluster.get(kind, head["namespace"], head["name"])
        except kube.NotFound:
            try:
                made = await cluster.create(manifest)
            except kube.AlreadyExists as conflict:
                raise RuntimeError(f"{head['name']} can't be created: {conflict}") from conflict
        store.put(kind, made)

    swap(act, _create_once=create_once)


def no_owner() -> None:
    """Services are made without an owner and known by their label."""
    real_create, real_owned_by = ApiCluster.create, plan.owned_by

    async def create(self: ApiCluster, manifest: Manifest) -> Manifest:
        if manifest["kind"] == "Service":
            head = manifest["metadata"]
            kept = {key: one for key, one in head.items() if key != "ownerReferences"}
            manifest = manifest | {"metadata": kept}
        return await real_create(self, manifest)

    def owned_by(manifest: Manifest, uid: str) -> bool:
        return real_owned_by(manifest, uid) or "ownerReferences" not in manifest["metadata"]

    def has(manifests: tuple[Manifest, ...], name: str, _: Any) -> bool:
        return any(manifest["metadata"]["name"] == name for manifest in manifests)

    swap(ApiCluster, create=create)
    swap(plan, owned_by=owned_by)
    swap(finetune, _has=has)


def finalizer_left() -> None:
    """A finalizer keeps a Deployment until it was taken off again, by whoever began that."""
    real = act._delete

    async def delete(act_: Delete, cluster: ApiCluster, store: Store) -> None:
        kind = kube.find_kind(act_.api_version, act_.kind)
        if kind != kube.DEPLOYMENT:
            return await real(act_, cluster, store)
        held = store.get(kind, act_.namespace, act_.name)
        if held is None or held["metadata"].get("deletionTimestamp"):
            return None  # on its way out already
        head = {"namespace": act_.namespace, "name": act_.name, "uid": act_.seen.uid}
        body = {"apiVersion": act_.api_version, "kind": act_.kind}
        kept = body | {"metadata": head | {"finalizers": [_FINALIZER]}}
        made = await cluster.apply(kept, manager=_KEEPER)
        await real(dataclasses.replace(act_, seen=Seen.of(made)), cluster, store)
        store.put(kind, await cluster.apply(body | {"metadata": head}, manager=_KEEPER))
        return None

    swap(act, _delete=delete)


def write_every_status() -> None:
    """The status is written each time, whether it differs or not."""
    real = Reconciler._write_status

    async def write_status(
        self: Reconciler, kind: Kind, manifest: Manifest, status: Manifest
    ) -> Manifest:
        return await real(self, kind, manifest | {"status": {"phase": "Unread"}}, status)

    swap(Reconciler, _write_status=write_status)


def apply_every_child() -> None:
    """A child is applied each time, whether it stands or not."""
    swap(standing, stands=lambda *_: False)


def stale_status() -> None:
    """The status is written without the resourceVersion that it was decided on."""
    real = ApiCluster.apply

    async def apply(
        self: ApiCluster, manifest: Manifest, *, subresource: str = "", **more: Any
    ) -> Manifest:
        if subresource:
            head = manifest["metadata"]
            kept = {key: one for key, one in head.items() if key != "resourceVersion"}
            manifest = manifest | {"metadata": kept}
        return await real(self, manifest, subresource=subresource, **more)

    swap(ApiCluster, apply=apply)


Planting = Callable[[], None]
ALL: Final[tuple[Planting, ...]] = (
    delete_by_name,
    delete_orphans,
    generate_names,
    adopt_by_name,
    apply_without_uid,
    create_what_is_absent,
    no_owner,
    finalizer_left,
    write_every_status,
    apply_every_child,
    stale_status,
)
