"""What the watches last told: an informer's cache of our resources and their children.

Pure memory, no I/O and no clock. An object is kept as compressed JSON without what nobody reads:
dictionaries would take some fifty times the memory. Reading one decodes a copy, so nobody can
change the cache by accident. Own writes are put in at once, and an event older than what is
held is passed over: a reconcile always sees at least what it wrote.
"""

import sys
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pydantic_core

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition
from fairlead_operator import kube
from fairlead_operator.kube import Kind
from fairlead_operator.plan import Manifest

_TOMBSTONES: Final = 4096
_SHAPE_BYTES: Final = 8192
"""Longest part of an object that others of its kind are compared with."""
_WINDOW: Final = -13  # raw deflate over as many bytes as a shape has: 2 to that power
_LEVEL: Final = 1
_MEMORY: Final = 6
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Key:
    """One resource of ours, by name: what the workqueue hands out."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Entry:
    namespace: str
    name: str
    uid: str
    version: int
    phase: str
    parent: Key | None
    content: bytes


class Store:
    """Objects by kind and name, children by the resource that their label names."""

    def __init__(self) -> None:
        self._shapes: dict[Kind, bytes] = {}
        self._entries: dict[Kind, dict[tuple[str, str], _Entry]] = defaultdict(dict)
        self._children: dict[Key, set[tuple[Kind, str]]] = defaultdict(set)
        self._services_of: dict[Key, set[Key]] = defaultdict(set)
        self._reference: dict[Key, Key] = {}
        self._phases: dict[Kind, Counter[str]] = defaultdict(Counter)
        self._gone: OrderedDict[tuple[Kind, str, str], int] = OrderedDict()
        self._passed_over: dict[tuple[Kind, str, str], int] = {}

    def put(self, kind: Kind, manifest: Manifest) -> bool:
        """Keep an object; False where the cache has it as new or newer already."""
        head = kube.metadata(manifest)
        place = (sys.intern(head.get("namespace", "")), head["name"])
        version = kube.version(manifest)
        held = self._entries[kind].get(place)
        newest = held.version if held else self._gone.get((kind, *place), 0)
        if newest >= version > 0:
            return False
        content = self._encoded(kind, slim(kind, manifest))
        phase = sys.intern(str((manifest.get("status") or {}).get("phase") or ""))
        parent = parent_of(manifest) if kind.child else None
        entry = _Entry(*place, head.get("uid", ""), version, phase, parent, content)
        if held is not None:
            self._unlink(kind, held)
        self._entries[kind][place] = entry
        self._link(kind, entry, _reference_of(manifest) if kind == kube.MODELSERVICE else "")
        return True

    def drop(self, kind: Kind, namespace: str, name: str, uid: str, version: int = 0) -> bool:
        """Forget an object that is gone; not its successor of the same name.

        ``version`` is the deletion's: an answer to an older write that comes in late doesn't
        bring the object back.
        """
        held = self._entries[kind].get((namespace, name))
        if self._passed_over.get((kind, namespace, name), version + 1) <= version:
            del self._passed_over[kind, namespace, name]
        if held is None or held.uid != uid:
            return False
        self._gone[kind, namespace, name] = max(version, held.version)
        if len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        self._unlink(kind, held)
        del self._entries[kind][namespace, name]
        return True

    def pass_over(self, kind: Kind, namespace: str, name: str, version: int) -> None:
        """Have nobody wait for an object that can't be kept; an older version of it stays."""
        self._passed_over[kind, namespace, name] = version

    def is_settled(self, kind: Kind, namespace: str, name: str, version: int) -> bool:
        """Whether an object was dropped after that version of it, or can't be kept."""
        place = (kind, namespace, name)
        return max(self._gone.get(place, -1), self._passed_over.get(place, -1)) >= version

    def uid(self, kind: Kind, namespace: str, name: str) -> str | None:
        """The uid of an object, None where it isn't held: what ``get`` would decode all for."""
        held = self._entries[kind].get((namespace, name))
        return held.uid if held else None

    def version(self, kind: Kind, namespace: str, name: str) -> int:
        """The resourceVersion of an object as last seen; 0 where it isn't held."""
        held = self._entries[kind].get((namespace, name))
        return held.version if held else 0

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """A copy of an object, as last seen."""
        held = self._entries[kind].get((namespace, name))
        return self._decoded(kind, held) if held else None

    def children(self, parent: Key, kind: Kind) -> tuple[Manifest, ...]:
        """Copies of the objects of a kind that carry the parent's label, by name."""
        places = sorted(name for child, name in self._children.get(parent, ()) if child == kind)
        held = (self._entries[kind].get((parent.namespace, name)) for name in places)
        return tuple(self._decoded(kind, entry) for entry in held if entry is not None)

    def services_of(self, job: Key) -> tuple[Key, ...]:
        """The ModelServices that name a FineTuneJob."""
        return tuple(self._services_of.get(job, ()))

    def keys(self, kind: Kind) -> Iterator[Key]:
        """Every resource of a kind."""
        return (Key(kind, *place) for place in tuple(self._entries[kind]))

    def versions(self, kind: Kind) -> dict[tuple[str, str, str], int]:
        """The resourceVersion by namespace, name and uid: what a listing is compared with."""
        held = self._entries[kind].values()
        return {(entry.namespace, entry.name, entry.uid): entry.version for entry in held}

    def phases(self, kind: Kind) -> dict[str, int]:
        """How many objects of a kind are in each phase; the empty one is that of no phase yet."""
        return dict(+self._phases[kind])

    def _encoded(self, kind: Kind, manifest: Manifest) -> bytes:
        """JSON, compressed by what the first object of the kind has in common with it."""
        content = pydantic_core.to_json(manifest)
        shape = self._shapes.setdefault(kind, content[:_SHAPE_BYTES])
        packer = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, shape
        )
        return packer.compress(content) + packer.flush()

    def _decoded(self, kind: Kind, entry: _Entry) -> Manifest:
        content = zlib.decompressobj(_WINDOW, self._shapes[kind]).decompress(entry.content)
        decoded: dict[str, Any] = pydantic_core.from_json(content)
        return decoded

    def _link(self, kind: Kind, entry: _Entry, job: str) -> None:
        self._phases[kind][entry.phase] += 1
        if entry.parent:
            self._children[entry.parent].add((kind, entry.name))
        if job:
            service = Key(kind, entry.namespace, entry.name)
            self._reference[service] = Key(kube.FINETUNEJOB, entry.namespace, job)
            self._services_of[self._reference[service]].add(service)

    def _unlink(self, kind: Kind, entry: _Entry) -> None:
        self._phases[kind][entry.phase] -= 1
        if entry.parent:
            _discard(self._children, entry.parent, (kind, entry.name))
        service = Key(kind, entry.namespace, entry.name)
        job = self._reference.pop(service, None)
        if job is not None:
            _discard(self._services_of, job, service)


def _reference_of(service: Manifest) -> str:
    """Name of the FineTuneJob that a ModelService names; stored ones may be of any shape."""
    found: Any = service.get("spec")
    for field in ("model", "fineTuneJobRef", "name"):
        found = found.get(field) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def parent_of(manifest: Manifest) -> Key | None:
    """The resource that a child's label names."""
    head = kube.metadata(manifest)
    labels = head.get("labels") or {}
    for label, kind in _PARENT_LABELS:
        if label in labels:
            return Key(kind, head.get("namespace", ""), labels[label])
    return None


_PARENT_LABELS: Final = (
    (names.LABEL_FINETUNEJOB, kube.FINETUNEJOB),
    (names.LABEL_MODELSERVICE, kube.MODELSERVICE),
)


def slim(kind: Kind, manifest: Manifest) -> Manifest:
    """What the planners may read of an object; the bulk that nobody reads is left out.

    Gone are managed fields and kubectl's copy of the object; of Jobs the pod template, of pods
    the spec but for ``nodeName``, of ConfigMaps the data (ours are never read back). A Job's
    failure rules stay: they tell its cause once its pods are gone.
    """
    bulk = ("data", "binaryData") if kind == kube.CONFIG_MAP else ()
    kept = _without(manifest, bulk)
    head = dict(kube.metadata(manifest))
    head.pop("managedFields", None)
    if annotations := head.get("annotations"):
        head["annotations"] = _without(annotations, (_LAST_APPLIED,))
    kept["metadata"] = head
    if "spec" in kept and kind in _SPEC:
        kept["spec"] = _SPEC[kind](kept["spec"])
    if kind == kube.FINETUNEJOB and _has_ended(kept):
        kept["spec"] = _without_rows(kept.get("spec") or {})
    return kept


_SPEC: Final[dict[Kind, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    kube.JOB: lambda spec: _without(spec, ("template",)),
    kube.POD: lambda spec: {key: spec[key] for key in ("nodeName",) if key in spec},
}


def _has_ended(job: Manifest) -> bool:
    """Whether a FineTuneJob's run file, which holds its rows, will never be written again."""
    found = (job.get("status") or {}).get("conditions") or []
    return any(c.get("type") in _ENDS and c.get("status") == "True" for c in found)


_ENDS: Final = (FineTuneJobCondition.COMPLETE, FineTuneJobCondition.FAILED)


def _without_rows(spec: dict[str, Any]) -> dict[str, Any]:
    """A FineTuneJob's spec whose inline rows, up to half a megabyte, made room for a word."""
    datasets = [
        dataset | {"inline": "left out"} if "inline" in dataset else dataset
        for dataset in spec.get("datasets") or []
    ]
    return spec | {"datasets": datasets}


def _without(mapping: dict[str, Any], left_out: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in left_out}


def _discard(index: dict[Key, set[Any]], key: Key, value: object) -> None:
    """Take a value out of an index, and the key with its last value."""
    index[key].discard(value)
    if not index[key]:
        del index[key]
