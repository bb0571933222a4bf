"""What the API server makes of the operator's writes: preconditions, creation, server-side apply.

Modelled as Kubernetes 1.37 does it: create refuses a name that is taken; uid and
resourceVersion are preconditions (a child's by what the operator's cache shows of it); an apply
lays our fields over what stands, lists with merge keys entry by entry, and raises the generation
where the spec changed. An object stands for its own resourceVersion: a change that is wholly
undone in between isn't noticed (generations rule that out for the resources themselves).

Not modelled: admission, quota and defaulting; fields that we stop applying (we never do).
"""

import functools
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from fairlead_model.objects import (
    NOW_TEXT,
    PAST_TEXT,
    STATUS,
    Obj,
    find,
    fresh_uid,
    intern,
    stored,
    without_dates,
)
from fairlead_model.state import State, Write, remove, store, used_uids
from fairlead_operator.plan import Manifest


@dataclass(frozen=True)
class Answer:
    """What the API server did and said."""

    state: State
    says: str
    """``ok``, ``conflict``, ``not found``, ``not served`` or ``exists``."""
    obj: Obj | None = None
    """The object as it stands after the write; with ``exists``, the one in the way."""


OK: Final = "ok"
CONFLICT: Final = "conflict"
NOT_FOUND: Final = "not found"
NOT_SERVED: Final = "not served"
EXISTS: Final = "exists"


def create(state: State, write: Write) -> Answer:
    """POST of a child."""
    standing = find(state.live, write.body.kind, write.body.name)
    if standing is not None:
        return Answer(state, EXISTS, standing)
    made = _new(state, write.body)
    return Answer(store(state, made), OK, made)


def apply(state: State, write: Write) -> Answer:
    """Server-side apply of a child, forced."""
    standing = find(state.live, write.body.kind, write.body.name)
    if standing is None:
        if write.uid:
            return Answer(state, CONFLICT)
        made = _new(state, write.body)
        return Answer(store(state, made), OK, made)
    if write.uid and write.uid != standing.uid:
        return Answer(state, CONFLICT)
    merged = _applied(standing, write.body)
    return Answer(state if merged is standing else store(state, merged), OK, merged)


def delete(state: State, write: Write) -> Answer:
    """DELETE in the background with a uid as precondition."""
    standing = find(state.live, write.body.kind, write.body.name)
    if standing is None:
        return Answer(state, NOT_FOUND)
    if write.uid and write.uid != standing.uid:
        return Answer(state, CONFLICT)
    return Answer(remove(state, standing), OK)


def apply_status(state: State, seen: Obj, status: Obj) -> Answer:
    """Apply of a resource's status over exactly what was seen of it."""
    standing = find(state.live, seen.kind, seen.name)
    if standing is None:
        return Answer(state, NOT_FOUND)
    if standing is not seen:
        return Answer(state, CONFLICT)
    written = with_status(seen, status)
    return Answer(state if written is standing else store(state, written), OK, written)


@functools.cache
def with_status(resource: Obj, status: Obj) -> Obj:
    """The resource with that status."""
    assert status.kind == STATUS
    plain = without_dates(status.manifest["status"])
    return stored(deepcopy(resource.manifest) | {"status": plain})


def _new(state: State, body: Obj) -> Obj:
    uid = fresh_uid(body.kind, body.name, used_uids(state))
    return _made(body, uid)


@functools.cache
def _made(body: Obj, uid: str) -> Obj:
    manifest = deepcopy(body.manifest)
    # Of Jobs alone somebody asks how old they are.
    born = NOW_TEXT if body.kind == "Job" else PAST_TEXT
    manifest["metadata"] |= {"uid": uid, "creationTimestamp": born, "generation": 1}
    return stored(manifest)


@functools.cache
def _applied(standing: Obj, body: Obj) -> Obj:
    manifest = deepcopy(standing.manifest)
    _overlay(manifest, body.manifest)
    if manifest.get("spec") != standing.manifest.get("spec"):
        manifest["metadata"]["generation"] += 1
    return intern(manifest)


_MERGE_KEYS: Final = {
    "containers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists that are merged by key; all others of ours are replaced whole."""
_PORTS: Final = {"Service": ("port", "protocol"), "Deployment": ("containerPort", "protocol")}


def _overlay(onto: Manifest, config: Manifest, kind: str = "") -> None:
    kind = kind or config.get("kind", "")
    for part, value in config.items():
        standing = onto.get(part)
        keys = _PORTS.get(kind, ()) if part == "ports" else _MERGE_KEYS.get(part, ())
        if isinstance(value, dict) and isinstance(standing, dict):
            _overlay(standing, value, kind)
        elif keys and isinstance(standing, list):
            onto[part] = _merged(standing, value, keys, kind)
        else:
            onto[part] = deepcopy(value)


def _merged(
    standing: list[Manifest], wanted: list[Manifest], keys: tuple[str, ...], kind: str
) -> list[Manifest]:
    """Our entries in our order over those of the same key, then everybody else's."""

    def key(entry: Manifest) -> tuple[Any, ...]:
        return tuple(entry.get(part) for part in keys)

    theirs = {key(entry): entry for entry in standing}
    merged = []
    for entry in wanted:
        found = deepcopy(theirs.pop(key(entry), {}))
        _overlay(found, entry, kind)
        merged.append(found)
    return merged + [deepcopy(entry) for entry in theirs.values()]
