"""An API server in memory, for tests in which none runs.

Keeps what the operator relies on: resourceVersions and uids as preconditions, one field manager
not undoing another's fields, a status apart from the rest, owners that take their children with
them. It knows no schema and no defaults: what a real API server refuses must be shown by a test
of the cluster tier.
"""

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead_api import names
from fairlead_operator import kube
from fairlead_operator.kube import Kind
from fairlead_operator.plan import Manifest

WRITES: Final = frozenset({"create", "apply", "replace", "delete"})

Path = tuple[str, ...]
Listener = Callable[[Kind, str | None, Manifest], None]


@dataclass
class _Object:
    manifest: Manifest
    applied: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    """Last configuration by field manager and subresource."""


@dataclass
class Fault:
    """A call that goes wrong."""

    verb: str
    kind: Kind
    error: Exception
    times: int = 1
    after: bool = False
    """The write is done, but its answer is lost."""


class MemoryCluster:
    """``kube.Cluster`` without a network; tells its listeners of each change at once."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[tuple[str, str], _Object]] = defaultdict(dict)
        self._versions = itertools.count(int(kube.FIRST_VERSION) + 1)
        self._uids = itertools.count(1)
        self._listeners: list[Listener] = []
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, Kind, str]] = []
        """Verb, kind and name of every call."""
        self.absent: set[Kind] = set()
        """Kinds whose CRD isn't installed."""

    def listen(self, listener: Listener) -> None:
        """Tell of every change from now on, as a watch would."""
        self._listeners.append(listener)

    def deafen(self) -> None:
        """Tell nobody of anything any more, as a dead watch would."""
        self._listeners.clear()

    def writes(self) -> list[tuple[str, str, str]]:
        """Verb, kind and name of every write so far."""
        return [(verb, kind.kind, name) for verb, kind, name in self.calls if verb in WRITES]

    def all(self, kind: Kind) -> list[Manifest]:
        """Copies of every object of a kind, by name."""
        return [copy.deepcopy(held.manifest) for _, held in sorted(self._objects[kind].items())]

    def edit(self, manifest: Manifest, **fields: Any) -> Manifest:
        """Change an object as somebody else would: its status, spec or labels."""
        kind, head = kube.kind_of(manifest), kube.metadata(manifest)
        held = self._objects[kind][head["namespace"], head["name"]]
        changed = copy.deepcopy(held.manifest)
        labels = fields.pop("labels", None)
        if labels is not None:
            changed["metadata"]["labels"] = labels
        changed.update(copy.deepcopy(fields))
        return self._commit(kind, held, changed)

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Read one object; raises NotFound."""
        self._begin("get", kind, name)
        return copy.deepcopy(self._held(kind, namespace, name).manifest)

    async def exists(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether an object is there."""
        self._begin("get", kind, name)
        return (namespace, name) in self._objects[kind]

    async def list_heads(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """The head of every object of a kind; of our children only, where the kind is one."""
        self._begin("list", kind, "")
        wanted = {names.LABEL_MANAGED_BY: names.MANAGED_BY} if kind.child else {}
        wanted |= labels or {}
        return [
            kube.head(found)
            for found in self.all(kind)
            if namespace in (None, kube.metadata(found)["namespace"])
            and wanted.items() <= (kube.metadata(found).get("labels") or {}).items()
        ]

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object; raises AlreadyExists."""
        kind, head = kube.kind_of(manifest), kube.metadata(manifest)
        fault = self._begin("create", kind, head.get("name", ""))
        place = (head["namespace"], head["name"])
        if place in self._objects[kind]:
            raise kube.AlreadyExists(f"{kind.kind} {head['name']} already exists", 409)
        made = self._new(kind, {k: v for k, v in manifest.items() if k != "status"})
        return self._answer(made, fault)

    async def apply(
        self,
        manifest: Manifest,
        *,
        subresource: str = "",
        manager: str = names.MANAGER_OPERATOR,
    ) -> Manifest:
        """Server-side apply, forced; a uid or resourceVersion in metadata is a precondition."""
        kind, head = kube.kind_of(manifest), kube.metadata(manifest)
        fault = self._begin("apply", kind, head["name"])
        held = self._objects[kind].get((head["namespace"], head["name"]))
        if held is None:
            if subresource:
                raise kube.NotFound(f"{kind.kind} {head['name']} not found", 404)
            if "uid" in head:
                raise kube.Conflict(f"{kind.kind} {head['name']}: uid mismatch, it is gone", 409)
            bare = {"metadata": {part: head[part] for part in ("name", "namespace")}}
            held = _Object({"apiVersion": kind.api_version, "kind": kind.kind} | bare)
        else:
            self._check_preconditions(held, head)
        config = _configuration(manifest, subresource)
        changed = _merged(held, config, (manager, subresource))
        held.applied[manager, subresource] = config
        if kube.metadata(held.manifest).get("uid"):
            return self._answer(self._commit(kind, held, changed), fault)
        return self._answer(self._new(kind, changed, held.applied), fault)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Write a whole object over the resourceVersion that it carries; raises Conflict."""
        kind, head = kube.kind_of(manifest), kube.metadata(manifest)
        fault = self._begin("replace", kind, head["name"])
        held = self._held(kind, head["namespace"], head["name"])
        self._check_preconditions(held, head)
        return self._answer(self._commit(kind, held, copy.deepcopy(manifest)), fault)

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str, version: str = ""
    ) -> Manifest | None:
        """Delete an object and all that it owns; raises NotFound, Conflict."""
        fault = self._begin("delete", kind, name)
        held = self._held(kind, namespace, name)
        self._check_preconditions(held, {"name": name, "uid": uid, "resourceVersion": version})
        self._remove(kind, held)
        self._answer({}, fault)
        return None

    async def serves(self, kind: Kind) -> bool:
        """Whether the kind's CRD is installed."""
        self._begin("discover", kind, "")
        return kind not in self.absent

    def _begin(self, verb: str, kind: Kind, name: str) -> Fault | None:
        """Write the call down; raise the fault planned for it, or return one for later."""
        self.calls.append((verb, kind, name))
        if kind in self.absent and verb != "discover":
            raise kube.NotFound(f"the server has no {kind.plural}", 404)
        for fault in self.faults:
            if fault.verb == verb and fault.kind == kind and fault.times > 0:
                fault.times -= 1
                if not fault.after:
                    raise fault.error
                return fault
        return None

    def _held(self, kind: Kind, namespace: str, name: str) -> _Object:
        try:
            return self._objects[kind][namespace, name]
        except KeyError:
            raise kube.NotFound(f"{kind.kind} {namespace}/{name} not found", 404) from None

    def _check_preconditions(self, held: _Object, head: dict[str, Any]) -> None:
        standing = kube.metadata(held.manifest)
        for precondition in ("uid", "resourceVersion"):
            if head.get(precondition) and head[precondition] != standing.get(precondition):
                raise kube.Conflict(f"{head['name']}: {precondition} differs", 409)

    def _new(
        self,
        kind: Kind,
        manifest: Manifest,
        applied: dict[tuple[str, str], Manifest] | None = None,
    ) -> Manifest:
        made = copy.deepcopy(manifest)
        made["metadata"] |= {
            "uid": f"uid-{next(self._uids)}",
            "generation": 1,
            "resourceVersion": str(next(self._versions)),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        place = (made["metadata"]["namespace"], made["metadata"]["name"])
        self._objects[kind][place] = _Object(made, applied or {})
        self._tell(kind, "ADDED", made)
        return made

    def _commit(self, kind: Kind, held: _Object, changed: Manifest) -> Manifest:
        if changed == held.manifest:
            return held.manifest
        head = changed["metadata"]
        if changed.get("spec") != held.manifest.get("spec"):
            head["generation"] = head.get("generation", 0) + 1
        head["resourceVersion"] = str(next(self._versions))
        held.manifest = changed
        self._tell(kind, "MODIFIED", changed)
        return changed

    def _remove(self, kind: Kind, held: _Object) -> None:
        """Take an object away, then what it owned."""
        head = held.manifest["metadata"]
        del self._objects[kind][head["namespace"], head["name"]]
        head["resourceVersion"] = str(next(self._versions))
        self._tell(kind, "DELETED", held.manifest)
        owned = [
            (child_kind, child)
            for child_kind, objects in self._objects.items()
            for child in objects.values()
            for owner in child.manifest["metadata"].get("ownerReferences") or []
            if owner["uid"] == head["uid"]
        ]
        for child_kind, child in owned:
            self._remove(child_kind, child)

    def _tell(self, kind: Kind, type_: str, manifest: Manifest) -> None:
        for listener in self._listeners:
            listener(kind, type_, copy.deepcopy(manifest))

    @staticmethod
    def _answer(manifest: Manifest, fault: Fault | None) -> Manifest:
        if fault is not None:
            raise fault.error
        return copy.deepcopy(manifest)


def _configuration(manifest: Manifest, subresource: str) -> Manifest:
    """The part of an apply that counts: the status alone, or all but the status."""
    if subresource:
        return {subresource: copy.deepcopy(manifest.get(subresource) or {})}
    config = {part: value for part, value in manifest.items() if part != "status"}
    identity = ("uid", "resourceVersion")
    head = {part: value for part, value in config["metadata"].items() if part not in identity}
    return copy.deepcopy(config | {"metadata": head})


def _merged(held: _Object, config: Manifest, manager: tuple[str, str]) -> Manifest:
    """What stands, less what this manager no longer applies and nobody else does, plus config."""
    changed = copy.deepcopy(held.manifest)
    elsewhere = {
        path
        for other, theirs in held.applied.items()
        if other != manager
        for path in _paths(theirs)
    }
    given_up = set(_paths(held.applied.get(manager, {}))) - set(_paths(config)) - elsewhere
    for path in sorted(given_up, key=len, reverse=True):
        _remove_path(changed, path)
    _overlay(changed, config)
    return changed


def _paths(config: Manifest, prefix: Path = ()) -> Iterator[Path]:
    """Every leaf of a configuration; a list is one leaf."""
    for part, value in config.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, (*prefix, part))
        else:
            yield (*prefix, part)


def _remove_path(manifest: Manifest, path: Path) -> None:
    for part in path[:-1]:
        manifest = manifest.get(part) or {}
    manifest.pop(path[-1], None)


def _overlay(onto: Manifest, config: Manifest) -> None:
    for part, value in config.items():
        if isinstance(value, dict) and isinstance(onto.get(part), dict):
            _overlay(onto[part], value)
        else:
            onto[part] = copy.deepcopy(value)
