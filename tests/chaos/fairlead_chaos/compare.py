"""What may differ between two snapshots, learned from undisturbed runs, and what does differ.

Pure. A mask stands at one leaf of one object. It allows the shapes that were seen there, never
any value: where times or counters vary, a time or a counter must still stand, and a leaf may be
missing only if it was missing in an undisturbed run. That an object may be missing no mask says.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead_chaos.findings import Finding, Wrong
from fairlead_chaos.snapshot import Snapshot

Path = tuple[str | int, ...]
"""From an object's ``Kind/name`` through keys and list positions to a leaf."""
ABSENT: Final = "absent"
MOST_SAID: Final = 300
"""Characters of a value that a finding quotes."""

_SHAPES: Final = (
    (re.compile(r"-----BEGIN.*?-----END [A-Z ]+-----\n?", re.DOTALL), "<pem>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "<uid>"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "<digest>"),
    (re.compile(r"\b[bcdfghjklmnpqrstvwxz2456789]{10}\b"), "<hash>"),  # serving.revision's
    (re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{5}\b"), "<suffix>"),
    (re.compile(r"\b(?=\d*[a-z])[bcdfghjklmnpqrstvwxz2456789]{10}\b"), "<hash>"),
    (re.compile(r"\d+"), "#"),
)
"""In this order: what looks like a number may be part of something longer."""


def shape(value: Any) -> str:
    """What kind of value it is; a word is its own shape, so another word is another shape."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return "number" if value >= 0 else "negative number"
    if isinstance(value, str):
        for pattern, stands_for in _SHAPES:
            value = pattern.sub(stands_for, value)
        return f"text {value}"
    name = "map" if isinstance(value, dict) else "list"
    return name if value else f"empty {name}"


@dataclass(frozen=True)
class Masks:
    """The shapes that may stand at leaves whose values vary."""

    shapes: dict[Path, frozenset[str]] = field(default_factory=dict)

    def allow(self, path: Path, value: Any) -> bool:
        """Whether this leaf varies, and may be so."""
        return shape(value) in self.shapes.get(path, ())

    def may_be_absent(self, path: Path, expected: Any) -> bool:
        """Whether all that is expected there was missing in some undisturbed run."""
        return all(ABSENT in self.shapes.get(leaf, ()) for leaf, _ in leaves(expected, path))

    def may_appear(self, path: Path, found: Any) -> bool:
        """Whether all that was found there stood like that in some undisturbed run."""
        return all(self.allow(leaf, value) for leaf, value in leaves(found, path))

    def may_change(self, path: Path, expected: Any, found: Any) -> bool:
        """Whether this leaf may be so, or what is at one side only was seen to come and go."""
        comes = self.may_be_absent(path, expected) and self.may_appear(path, found)
        return self.allow(path, found) or comes

    def by_kind(self) -> dict[str, int]:
        """How many leaves vary, by paths with a kind in the stead of each object's name."""
        kinds = Counter(said((_kind(path), *path[1:])) for path in self.shapes)
        return dict(sorted(kinds.items()))


def masks(*undisturbed: Snapshot) -> Masks:
    """Learn from snapshots of the same scenario, two at least, what differs by itself."""
    if len(undisturbed) < 2:
        raise ValueError(f"{len(undisturbed)} undisturbed runs tell nothing of what varies")
    shapes: dict[Path, frozenset[str]] = {}
    common = set.intersection(*(set(snapshot) for snapshot in undisturbed))
    for key in common:
        seen = [dict(leaves(snapshot[key], (key,))) for snapshot in undisturbed]
        for path in set().union(*seen):
            stood = [ABSENT if path not in one else shape(one[path]) for one in seen]
            exact = {(path in one, shape(one.get(path)), str(one.get(path))) for one in seen}
            if len(exact) > 1:
                shapes[path] = frozenset(stood)
    return Masks(shapes)


def covered(snapshot: Snapshot, allowed: Masks) -> Iterator[str]:
    """Objects, and specs and the like of objects, of which all varies: no run can differ there."""
    for key, body in snapshot.items():
        parts = {name: part for name, part in body.items() if isinstance(part, dict)}
        for path, part in [((key,), body), *(((key, name), part) for name, part in parts.items())]:
            if all(leaf in allowed.shapes for leaf, _ in leaves(part, path)):
                yield said(path)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf with its path; an empty map or list is a leaf."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list) and value:
        for place, one in enumerate(value):
            yield from leaves(one, (*path, place))
    else:
        yield path, value


def differences(expected: Snapshot, found: Snapshot, allowed: Masks) -> Iterator[Finding]:
    """Where a run's end differs from the undisturbed end."""
    for key in sorted(expected.keys() - found.keys()):
        yield Finding(Wrong.END_STATE, key, "to stand", "nothing")
    for key in sorted(found.keys() - expected.keys()):
        yield Finding(Wrong.END_STATE, key, "nothing", "it stands")
    for key in sorted(expected.keys() & found.keys()):
        yield from _differences(expected[key], found[key], (key,), allowed)


def _differences(expected: Any, found: Any, path: Path, allowed: Masks) -> Iterator[Finding]:
    if isinstance(expected, dict) and isinstance(found, dict) and expected and found:
        for key in sorted(expected.keys() | found.keys()):
            yield from _at(expected, found, key, (*path, key), allowed)
    elif isinstance(expected, list) and isinstance(found, list) and expected and found:
        for place in range(max(len(expected), len(found))):
            yield from _at(_by_place(expected), _by_place(found), place, (*path, place), allowed)
    elif not (_alike(expected, found) or allowed.may_change(path, expected, found)):
        yield Finding(Wrong.END_STATE, said(path), _quoted(expected), _quoted(found))


def _at(
    expected: dict[Any, Any], found: dict[Any, Any], key: str | int, path: Path, allowed: Masks
) -> Iterator[Finding]:
    """Differences below one key, which either side may lack."""
    if key not in found:
        if not allowed.may_be_absent(path, expected[key]):
            yield Finding(Wrong.END_STATE, said(path), _quoted(expected[key]), ABSENT)
    elif key not in expected:
        if not allowed.may_appear(path, found[key]):
            yield Finding(Wrong.END_STATE, said(path), ABSENT, _quoted(found[key]))
    else:
        yield from _differences(expected[key], found[key], path, allowed)


def said(path: Sequence[str | int]) -> str:
    """A path as a person writes it."""
    head, *rest = path
    return str(head) + "".join(f"[{one}]" if isinstance(one, int) else f" .{one}" for one in rest)


def _kind(path: Path) -> str:
    return str(path[0]).partition("/")[0]


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _by_place(values: list[Any]) -> dict[Any, Any]:
    return dict(enumerate(values))


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}…"
