"""Reads the tables of hand-written manifests: each row a change to a valid manifest.

A table is a YAML file. ``places`` lists, for each path, values that are ``taken`` and values that
are ``refused``, each under a name; ``rows`` lists changes of several places. A refusal has to name
the place, or what ``names`` says instead, and hold the words of ``says``. ``with`` are changes
made first; a table for both kinds says in ``below`` where its places lie in each.

Tags: ``!absent ""`` leaves a member out, ``!text [x, 9]`` is nine x, ``!join [A, B]`` is AB,
``!items [33, ITEM]`` a list of so many, their number in the place of ``#``, and
``!members [65, VALUE]`` an object of so many.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

Json = dict[str, Any]
STATUS: Final = "/status"
ABSENT: Final = object()
"""In a change: leave the member out."""


@dataclass(frozen=True)
class Row:
    """One manifest by hand, and what has to come of it."""

    id: str
    manifest: Json
    names: str | None
    """Path that the refusal has to name; None where the manifest is valid."""
    says: str = ""
    """Words that the refusal has to hold."""
    before: str = ""
    """Name of the object that the manifest is to replace; empty where it is created."""
    subresource: str = ""
    """What of that object is replaced: all of it, or ``/status``."""

    @property
    def kind(self) -> str:
        """The manifest's kind."""
        return str(self.manifest["kind"])


@dataclass(frozen=True)
class Suite:
    """All tables of a folder."""

    minimal: Mapping[str, Json]
    """The smallest valid manifest of each kind."""
    before: Mapping[str, Json]
    """Objects that rows change, by name."""
    creations: tuple[Row, ...]
    changes: tuple[Row, ...]
    statuses: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All of them."""
        return self.creations + self.changes + self.statuses


class _Loader(yaml.SafeLoader):
    """Reads YAML with the tags of the tables."""


def _text(loader: _Loader, node: yaml.SequenceNode) -> str:
    piece, times = loader.construct_sequence(node)
    return str(piece) * int(times)


def _join(loader: _Loader, node: yaml.SequenceNode) -> str:
    return "".join(map(str, loader.construct_sequence(node, deep=True)))


def _items(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    count, item = loader.construct_sequence(node, deep=True)
    return [json.loads(json.dumps(item).replace("#", str(index))) for index in range(int(count))]


def _members(loader: _Loader, node: yaml.SequenceNode) -> Json:
    count, value = loader.construct_sequence(node, deep=True)
    return {f"k{index}": copy.deepcopy(value) for index in range(int(count))}


_Loader.add_constructor("!absent", lambda *_: ABSENT)
_Loader.add_constructor("!text", _text)
_Loader.add_constructor("!join", _join)
_Loader.add_constructor("!items", _items)
_Loader.add_constructor("!members", _members)


def load(path: Path) -> Any:
    """The content of a table's file."""
    return yaml.load(path.read_text(), _Loader)  # noqa: S506 (a SafeLoader)


def steps(path: str) -> list[int | str]:
    """``spec.datasets[0].name`` as keys and indices."""
    parts = path.replace("[", ".[").split(".")
    return [int(part[1:-1]) if part.startswith("[") else part for part in parts]


def changed(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """A manifest with values set at paths; objects on the way are made."""
    out: Json = copy.deepcopy(dict(manifest))
    for path, value in changes.items():
        *way, last = steps(path)
        node: Any = out
        for step in way:
            node = node[step] if isinstance(step, int) else node.setdefault(step, {})
        if value is ABSENT:
            node.pop(last)
        elif isinstance(node, list) and last == len(node):
            node.append(value)
        else:
            node[last] = copy.deepcopy(value)
    return out


def read(folder: Path) -> Suite:
    """Read every table of a folder.

    Raises:
        ValueError: When two rows have one id.
    """
    minimal = load(folder / "minimal.yaml")
    updates = load(folder / "updates.yaml")
    before = {}
    for name, entry in updates["before"].items():
        before[name] = changed(minimal[entry["kind"]], entry["change"])
        before[name]["metadata"]["name"] = name
    first = {body["kind"]: name for name, body in reversed(before.items())}
    creations: list[Row] = []
    statuses: list[Row] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.stem.startswith("status-"):
            rows = _rows(load(path), minimal)
            statuses += [replace(row, before=first[row.kind], subresource=STATUS) for row in rows]
        elif path.stem not in ("minimal", "updates", "later"):
            creations += _rows(load(path), minimal)
    changes = [
        Row(
            id=f"{before[entry['before']]['kind']}-{entry['id']}",
            manifest=changed(before[entry["before"]], entry["change"]),
            names=entry.get("names"),
            says=entry.get("says", ""),
            before=entry["before"],
        )
        for entry in updates["rows"]
    ]
    for group in (creations, changes, statuses):
        ids = [row.id for row in group]
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ValueError(f"rows of one id: {sorted(twice)}")
    return Suite(minimal, before, tuple(creations), tuple(changes), tuple(statuses))


def _rows(table: Json, minimal: Mapping[str, Json]) -> list[Row]:
    """Every row of a table, for each kind that it speaks of."""
    below: Mapping[str, str] = table.get("below") or {table["kind"]: ""}
    return [row for kind in below for row in _rows_of_kind(table, minimal[kind], below[kind])]


def _rows_of_kind(table: Json, minimal: Json, root: str) -> Iterator[Row]:
    kind = minimal["kind"]

    def at(place: str) -> str:
        return f"{root}.{place}" if root and place else root or place

    for place, entry in (table.get("places") or {}).items():
        first = {at(way): value for way, value in entry.get("with", {}).items()}
        base = changed(minimal, first)
        for name, value in entry.get("taken", {}).items():
            manifest = changed(base, {at(place): value})
            yield Row(f"{kind}-{place}-{name}", manifest, None)
        for name, value in entry.get("refused", {}).items():
            manifest = changed(base, {at(place): value})
            named = at(entry.get("names", place))
            yield Row(f"{kind}-{place}-{name}", manifest, named, entry.get("says", ""))
    for entry in table.get("rows") or ():
        changes = {at(way): value for way, value in entry["change"].items()}
        manifest = changed(minimal, changes)
        place_or_none = at(entry["names"]) if "names" in entry else None
        yield Row(f"{kind}-{entry['id']}", manifest, place_or_none, entry.get("says", ""))
