"""Objects of the modelled cluster: immutable, each distinct content kept once.

Data only, no rules of Kubernetes and none of ours. An object's identity is its content, so
equality is ``is``, a state is a tuple of references, and what is worked out about an object can
be remembered by it. Time is reduced to three moments, which is all that a planner can tell apart
if it only compares: ``PAST``, ``NOW`` (the moment of every plan) and whatever lies ahead.
"""

import copy
import functools
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fairlead_operator.kube import find_kind
from fairlead_operator.plan import Manifest, controller
from fairlead_operator.store import slim

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
PAST: Final = NOW - timedelta(days=30)
_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
NOW_TEXT: Final = NOW.strftime(_FORMAT)
PAST_TEXT: Final = PAST.strftime(_FORMAT)

STATUS: Final = "Status"
"""Kind of a status on its way to the API server."""


class Obj:
    """One object's content at one moment. Never change its manifest."""

    __slots__ = ("key", "kind", "manifest", "name", "owner", "uid")

    def __init__(self, manifest: Manifest) -> None:
        head = manifest["metadata"]
        self.manifest = manifest
        self.kind: str = manifest["kind"]
        self.name: str = head["name"]
        self.key = (self.kind, self.name)
        self.uid: str = head.get("uid", "")
        self.owner: str = controller(manifest).get("uid", "")
        """Uid of its controller; empty where it has none."""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} {self.uid}>"


Objects = tuple[Obj, ...]
"""What a cluster or a cache holds, in order of kind and name."""

_KNOWN: Final[dict[str, Obj]] = {}


def intern(manifest: Manifest) -> Obj:
    """The one object of that content; the manifest must not be changed afterwards."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    found = _KNOWN.get(text)
    if found is None:
        found = _KNOWN[text] = Obj(manifest)
    return found


def stored(manifest: Manifest) -> Obj:
    """The object as the operator's cache would keep it: without what no planner reads."""
    return intern(slim(find_kind(manifest["apiVersion"], manifest["kind"]), manifest))


def status_of(status: Manifest) -> Obj:
    """A status as an object, for it has no name of its own."""
    return intern({"kind": STATUS, "metadata": {"name": ""}, "status": status})


def edited(obj: Obj, change: Callable[[Manifest], None]) -> Obj:
    """The object after a change to a copy of its manifest."""
    manifest = copy.deepcopy(obj.manifest)
    change(manifest)
    return intern(manifest)


def find(objects: Objects, kind: str, name: str) -> Obj | None:
    """The object of that kind and name."""
    key = (kind, name)
    for obj in objects:
        if obj.key == key:
            return obj
    return None


def with_uid(objects: Objects, uid: str) -> Obj | None:
    """The object of that uid."""
    return next((obj for obj in objects if obj.uid == uid), None)


def put(objects: Objects, obj: Obj) -> Objects:
    """The objects with this one in the place of its kind and name."""
    kept = [other for other in objects if other.key != obj.key]
    kept.append(obj)
    kept.sort(key=_key)
    return tuple(kept)


def drop(objects: Objects, obj: Obj) -> Objects:
    """The objects without whatever bears this one's kind and name."""
    return tuple(other for other in objects if other.key != obj.key)


def of_kind(objects: Objects, *kinds: str) -> Objects:
    """The objects of some kinds."""
    return tuple(obj for obj in objects if obj.kind in kinds)


def _key(obj: Obj) -> tuple[str, str]:
    return obj.key


def fresh_uid(kind: str, name: str, used: Iterable[str]) -> str:
    """A uid that nothing refers to: one that nobody remembers is as good as new."""
    taken = set(used)
    number = 1
    while f"{kind}-{name}-{number}" in taken:
        number += 1
    return f"{kind}-{name}-{number}"


_DATES: Final = frozenset({"lastTransitionTime", "startTime", "completionTime"})
_MOMENTS: Final = _DATES | {"creationTimestamp", "deletionTimestamp", "retryTime", "stableTime"}


@functools.cache
def aged(obj: Obj) -> Obj:
    """The object after so long a time that every moment in it is past."""
    manifest = _aged(obj.manifest)
    return obj if manifest == obj.manifest else intern(manifest)


def without_dates(status: Manifest) -> Manifest:
    """A status whose moments that nobody compares with the time are past already.

    They would only multiply the states; that they never move by themselves is judged at rest.
    """
    plain: Manifest = _aged(status, _DATES)
    return plain


def _aged(part: Any, moments: frozenset[str] = _MOMENTS) -> Any:
    if isinstance(part, dict):
        return {
            key: PAST_TEXT if key in moments else _aged(value, moments)
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_aged(value, moments) for value in part]
    return part
