"""Carries out one act of a plan, so that a stale observation does no harm.

Every write carries the uid and version of what was seen or a name that only we use, and what the
API server answers goes into the cache at once. Knows no planner and no kind in particular.
"""

from fairlead_api import names
from fairlead_operator import kube, plan
from fairlead_operator.kube import Cluster
from fairlead_operator.plan import Act, Apply, CreateOnce, Delete, Manifest
from fairlead_operator.store import Store


class ForeignChild(Exception):
    """An object of a child's name belongs to somebody else; we leave it alone."""


class Leftover(kube.Conflict):
    """A child of an earlier resource of this name is still there; it is about to be collected."""


class PlanError(Exception):
    """A planner's manifest would escape our watch or our garbage collection: a fault of ours."""


async def carry_out(act: Act, owner_uid: str, cluster: Cluster, store: Store) -> None:
    """Make one act true; raises ForeignChild and kube.ClusterError, Leftover among them."""
    if isinstance(act, Delete):
        await _delete(act, cluster, store)
        return
    _check(act.manifest, owner_uid)
    if isinstance(act, CreateOnce):
        await _create_once(act.manifest, cluster, store)
    else:
        await _apply(act, cluster, store)


async def _create_once(manifest: Manifest, cluster: Cluster, store: Store) -> None:
    kind, head = kube.kind_of(manifest), kube.metadata(manifest)
    try:
        made = await cluster.create(manifest)
    except kube.AlreadyExists as conflict:
        try:
            made = await cluster.get(kind, head["namespace"], head["name"])
        except kube.NotFound:
            raise conflict from None  # gone meanwhile: the next try creates it
        _check_owner(made, manifest, store)
    store.put(kind, made)


async def _apply(act: Apply, cluster: Cluster, store: Store) -> None:
    """Apply over the child that was seen, or bring one in whose name nobody else holds."""
    kind, head = kube.kind_of(act.manifest), kube.metadata(act.manifest)
    head = head | await _precondition(act, cluster, store)
    store.put(kind, await cluster.apply(act.manifest | {"metadata": head}))


async def _precondition(act: Apply, cluster: Cluster, store: Store) -> dict[str, str]:
    """What must be so when the apply arrives, however late: the child is as it was seen, or none.

    Else it would undo what another replica has done since, or take a child away from the next
    resource of this name. Raises ForeignChild and Leftover.
    """
    kind, head = kube.kind_of(act.manifest), kube.metadata(act.manifest)
    if act.seen is not None:
        return {"uid": act.seen.uid, "resourceVersion": act.seen.version}
    try:
        standing = await cluster.get(kind, head["namespace"], head["name"])
    except kube.NotFound:
        return {"resourceVersion": kube.FIRST_VERSION}
    _check_owner(standing, act.manifest, store)
    return {part: kube.metadata(standing)[part] for part in ("uid", "resourceVersion")}


async def _delete(act: Delete, cluster: Cluster, store: Store) -> None:
    """Delete a child as it was seen: what it has become since may be worth keeping."""
    kind = kube.find_kind(act.api_version, act.kind)
    try:
        left = await cluster.delete(kind, act.namespace, act.name, *act.seen)
    except kube.NotFound:
        if kind in kube.OPTIONAL and not await cluster.serves(kind):
            raise  # the child is kept, and there again with its API
        left = None
    if left is None:
        store.drop(kind, act.namespace, act.name, act.seen.uid)
    else:
        store.put(kind, left)


def _check(manifest: Manifest, owner_uid: str) -> None:
    labels = kube.metadata(manifest).get("labels") or {}
    if not plan.owned_by(manifest, owner_uid):
        raise PlanError(f"{_title(manifest)} lacks a controller reference to its resource")
    if labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        raise PlanError(f"{_title(manifest)} lacks the label {names.SELECTOR_MANAGED}")


def _check_owner(standing: Manifest, manifest: Manifest, store: Store) -> None:
    """Whether what stands under a child's name is that child.

    A leftover goes into the cache: the next plan sees it, and the end of it wakes the resource.
    """
    owner = plan.controller(manifest)
    if plan.owned_by(standing, owner["uid"]):
        return
    if plan.is_leftover(standing, owner["kind"], owner["name"], owner["uid"]):
        store.put(kube.kind_of(manifest), standing)
        raise Leftover(
            f"{_title(manifest)} is left by an earlier {owner['kind']} of this name", 409
        )
    raise ForeignChild(_foreign_text(manifest))


def _title(manifest: Manifest) -> str:
    head = kube.metadata(manifest)
    return f"{manifest['kind']} {head.get('namespace')}/{head.get('name')}"


def _foreign_text(manifest: Manifest) -> str:
    return (
        f"{_title(manifest)} exists already and isn't ours;"
        " delete or rename it, or give this resource another name"
    )
