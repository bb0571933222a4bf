"""Valid manifests drawn from the specification, and their mutations: all from one seed.

Pure: the same seed gives the same manifests on every machine.
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fairlead_admission import fields, forms
from fairlead_admission.judge import Part

Json = dict[str, Any]
Way = tuple[int | str, ...]
ANYTHING: Final[tuple[Any, ...]] = (
    True,
    0,
    -1,
    1.5,
    10**19,
    "x",
    "7",
    "",
    [],
    {},
    [1],
    {"a": 1},
    ["x"],
)
"""Values that are of the wrong type in most places."""
_JUNK: Final = (" ", "\n", "/", ".", "..", "-", "_", "A", "é", "0", ":", "%2e", "\t")


@dataclass(frozen=True)
class Mutation:
    """A manifest that came from a valid one by one or two changes."""

    manifest: Json
    changes: tuple[str, ...]
    """What was done and where, e.g. ``null spec.tuning.r``."""


def valid(rng: random.Random, kind: str, api_version: str) -> Json:
    """Draw a valid manifest of a kind."""
    metadata: Json = {"name": _name(rng), "namespace": "default"}
    if rng.random() < 0.2:
        metadata["labels"] = {"app.kubernetes.io/part-of": "a-team", "x": ""}
    if rng.random() < 0.2:
        metadata["annotations"] = {"fairlead.dev/restarted-at": "2026-01-01T00:00:00Z"}
    spec = fields.SPECS[kind].draw(rng)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _name(rng: random.Random) -> str:
    while True:
        name = forms.DNS_LABEL.draw(rng, rng.choice([1, 2, 8, 20, 40]))
        if forms.is_resource_name(name):
            return name


def mutate(rng: random.Random, manifest: Json) -> Mutation:
    """Change a manifest in one place, seldom in two; it may still be valid after that."""
    changed = copy.deepcopy(manifest)
    done: list[str] = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        if rng.random() < 0.08:
            done.append(_mutate_metadata(rng, changed))
        else:
            done.append(_mutate_spec(rng, changed))
    return Mutation(changed, tuple(done))


def _mutate_metadata(rng: random.Random, manifest: Json) -> str:
    metadata = manifest["metadata"]
    choices: list[tuple[str, list[Any]]] = [
        ("name", ["n" * 40, "n" * 41, "Job", "a.b", "1a", "-a", "a-", "a_b", "a--b", "a"]),
        ("labels", [{"a": "b"}, {"a b": "c"}, {"a": "b c"}, {"a/b/c": "d"}, {"A/b": ""}, None]),
        ("labels", [{"a": "x" * 63}, {"a": "x" * 64}, {"x" * 63: ""}, {"x" * 64: ""}]),
        ("annotations", [{"a": "b c\n"}, {"a b": "c"}, {"/a": "b"}, {"a/": "b"}, {}, None]),
        ("owner", ["x"]),
    ]
    key, values = rng.choice(choices)
    value = rng.choice(values)
    metadata[key] = value
    return f"set metadata.{key} to {str(value)[:60]!r}"


Operator = Callable[[random.Random, str, Json, Way], str]


def _mutate_spec(rng: random.Random, manifest: Json) -> str:
    kind, spec = manifest["kind"], manifest.get("spec")
    if not isinstance(spec, dict) or rng.random() < 0.01:
        manifest["spec"] = rng.choice([None, {}, [], "x"])
        return "replace spec"
    ways = [*_ways(spec)]
    if not ways:
        spec["model"] = {"uri": "pvc://store/base"}
        return "set spec.model"
    # Fields are chosen before lengths of lists, so that a long list isn't all that is changed.
    shapes = sorted({tuple("*" if isinstance(step, int) else step for step in way) for way in ways})
    shape = rng.choice(shapes)
    fitting = [way for way in ways if tuple("*" if isinstance(s, int) else s for s in way) == shape]
    operator = rng.choices(OPERATORS, WEIGHTS)[0]
    return operator(rng, kind, spec, rng.choice(fitting))


def _ways(node: Any, way: Way = ()) -> Iterator[Way]:
    """Ways to every node below one."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in entries:
        yield (*way, key)
        if isinstance(child, dict | list):
            yield from _ways(child, (*way, key))


def _parent(spec: Json, way: Way) -> Any:
    node: Any = spec
    for step in way[:-1]:
        node = node[step]
    return node


def _spelled(way: Way) -> str:
    return ".".join(map(str, ("spec", *way)))


def _remove(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    del _parent(spec, way)[way[-1]]
    return f"remove {_spelled(way)}"


def _null(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    _parent(spec, way)[way[-1]] = None
    return f"null {_spelled(way)}"


def _other_type(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    value = copy.deepcopy(rng.choice(ANYTHING))
    _parent(spec, way)[way[-1]] = value
    return f"set {_spelled(way)} to {value!r}"


def _near(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    """A value near what divides good from bad, in that place or in a sibling that is absent."""
    parent = _parent(spec, way)
    part = fields.SPECS[kind] if len(way) == 1 else fields.field_at(kind, way[:-1])
    last = way[-1]
    if isinstance(part, Part) and isinstance(parent, dict) and rng.random() < 0.6:
        last = rng.choice(sorted(part.members))
    field = fields.field_at(kind, (*way[:-1], last))
    if field is None:
        return _other_type(rng, kind, spec, way)
    value = copy.deepcopy(rng.choice(field.near()))
    parent[last] = value
    return f"set {_spelled((*way[:-1], last))} to {str(value)[:60]!r}"


def _redraw(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    """Another good value, in that place or in an absent sibling: only rules can refuse it."""
    parent = _parent(spec, way)
    part = fields.SPECS[kind] if len(way) == 1 else fields.field_at(kind, way[:-1])
    last = way[-1]
    if isinstance(part, Part) and isinstance(parent, dict):
        last = rng.choice(sorted(part.members))
    field = fields.field_at(kind, (*way[:-1], last))
    if field is None:
        return _null(rng, kind, spec, way)
    parent[last] = field.draw(rng)
    return f"draw {_spelled((*way[:-1], last))} anew"


def _rename(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    parent, key = _parent(spec, way), way[-1]
    if not isinstance(key, str) or not key:
        return _repeat(rng, kind, spec, way)
    snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in key)
    name = rng.choice([snake, key.lower(), key.title(), key[:-1], f"{key}s", f" {key}"])
    parent[name] = parent.pop(key)
    return f"rename {_spelled(way)} to {name!r}"


def _add(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    parent = _parent(spec, way)
    if isinstance(parent, list):
        return _repeat(rng, kind, spec, way)
    key = rng.choice(["extra", "image", "command", "Name", "securityContext", "args"])
    parent[key] = copy.deepcopy(rng.choice(ANYTHING))
    return f"add {key} beside {_spelled(way)}"


def _repeat(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    """The same item twice; where there is no list, a list of the value."""
    parent, last = _parent(spec, way), way[-1]
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[int(last)]))
        return f"repeat {_spelled(way)}"
    parent[last] = [parent[last]]
    return f"wrap {_spelled(way)} in a list"


def _edit(rng: random.Random, kind: str, spec: Json, way: Way) -> str:
    """A character more in a text, a step more in a number."""
    parent, last = _parent(spec, way), way[-1]
    value = parent[last]
    if isinstance(value, str):
        place = rng.choice([0, len(value), rng.randint(0, len(value))])
        parent[last] = value[:place] + rng.choice(_JUNK) + value[place:]
    elif isinstance(value, bool):
        parent[last] = not value
    elif isinstance(value, int | float):
        number = rng.choice([value + 1, value - 1, -value, value * 1000, value / 2])
        parent[last] = int(number) if number == int(number) else number  # as kubectl sends it
    else:
        return _add(rng, kind, spec, way)
    return f"edit {_spelled(way)}"


OPERATORS: Final[tuple[Operator, ...]] = (
    _remove, _null, _other_type, _near, _redraw, _rename, _add, _repeat, _edit,
)  # fmt: skip
WEIGHTS: Final = (8, 6, 10, 30, 20, 6, 4, 6, 10)
