"""CRDs with a gap: each version of them lacks one rule, or has one bound a step wider.

Pure. A version is served beside the others, so one installed CRD tries dozens of gaps at once:
what the whole CRD refuses and a version takes is what that one constraint is there for.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
Way = tuple[str | int, ...]
RULES: Final = "x-kubernetes-validations"
VERSIONS_A_CRD: Final = 40
"""So that a CRD stays far below what an object may weigh."""
_BOUNDS: Final = {
    "maxLength": 1,
    "minLength": -1,
    "maxItems": 1,
    "minItems": -1,
    "maxProperties": 1,
    "minimum": -1,
    "maximum": 1,
}
"""Which way each bound is widened."""
_STEP: Final = 0.001
"""By how much a bound of a fraction is widened."""


@dataclass(frozen=True)
class Gap:
    """One constraint of a CRD's schema that is left out or widened."""

    kind: str
    node: Way
    """From the root of the schema to the node that is changed."""
    constraint: str
    """What is changed there, e.g. ``maximum`` or ``required storage``."""
    schema: Json
    """The whole schema with the gap."""
    message: str = ""
    """The message of the rule, where the constraint is one."""
    is_transition: bool = False
    """Whether the rule compares with the object as it was."""

    @property
    def path(self) -> str:
        """The node as users spell it, with ``[*]`` for an item: ``spec.datasets[*].name``."""
        text = ""
        for place, step in enumerate(self.node):
            if step == "items":
                text += "[*]"
            elif step == "additionalProperties":
                text += ".*"
            elif place and self.node[place - 1] == "properties":
                text += f".{step}"
        return text.removeprefix(".")

    @property
    def root(self) -> str:
        """``spec`` or ``status``; a rule of the whole resource counts as of its spec."""
        return str(self.node[1]) if self.node else "spec"

    @property
    def id(self) -> str:
        """A name for the gap."""
        return f"{self.kind}-{self.path}-{self.constraint}"


def of(crd: Mapping[str, Any], root: str = "spec") -> list[Gap]:
    """Every gap of a CRD's schema below a member of its root, and of the root's own rules."""
    kind = crd["spec"]["names"]["kind"]
    schema = _bare(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    for other in {"spec", "status"} - {root}:
        schema["properties"][other] = {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
    found = [gap for gap in _gaps_at(kind, schema, ()) if root == "spec" and gap.message]
    start: Way = ("properties", root)
    return found + [gap for way in _nodes(schema, start) for gap in _gaps_at(kind, schema, way)]


def crds(crd: Mapping[str, Any], gaps: list[Gap], first_number: int = 0) -> list[Json]:
    """CRDs that serve each gap as a version: the n-th as version n % 40 of copy n // 40."""
    names = crd["spec"]["names"]
    out = []
    for number, first in enumerate(range(0, len(gaps), VERSIONS_A_CRD), first_number):
        kind, plural = f"{names['kind']}{number}", f"{names['plural']}{number}"
        versions = [
            {
                "name": f"v{place}",
                "served": True,
                "storage": place == 0,
                "schema": {"openAPIV3Schema": gap.schema},
                "subresources": {"status": {}},
            }
            for place, gap in enumerate(gaps[first : first + VERSIONS_A_CRD])
        ]
        spec = {
            "group": crd["spec"]["group"],
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "versions": versions,
        }
        metadata = {"name": f"{plural}.{crd['spec']['group']}"}
        head = {"apiVersion": crd["apiVersion"], "kind": crd["kind"]}
        out.append({**head, "metadata": metadata, "spec": spec})
    return out


def _bare(node: Any) -> Any:
    """A schema without its descriptions, which check nothing."""
    if isinstance(node, dict):
        return {
            key: _bare(child)
            for key, child in node.items()
            if key != "description" or not isinstance(child, str)
        }
    return [_bare(child) for child in node] if isinstance(node, list) else node


def _nodes(schema: Json, way: Way) -> Iterator[Way]:
    """Ways to a schema node and all below it."""
    yield way
    node = _at(schema, way)
    for name in node.get("properties", {}):
        yield from _nodes(schema, (*way, "properties", name))
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from _nodes(schema, (*way, key))


def _at(schema: Json, way: Way) -> Json:
    node: Any = schema
    for step in way:
        node = node[step]
    found: Json = node
    return found


def _gaps_at(kind: str, schema: Json, way: Way) -> Iterator[Gap]:
    node = _at(schema, way)
    for index, rule in enumerate(node.get(RULES, ())):
        kept = [entry for entry in node[RULES] if entry is not rule]
        yield _gap(kind, schema, way, f"rule {index}", {RULES: kept}, rule["message"])
    # The key of a list's items can't be left out: the CRD itself would be refused.
    keys = _at(schema, way[:-1]).get("x-kubernetes-list-map-keys", ()) if way else ()
    for name in [name for name in node.get("required", ()) if name not in keys]:
        kept = [entry for entry in node["required"] if entry != name]
        yield _gap(kind, schema, way, f"required {name}", {"required": kept})
    for constraint, changes in _widened(node):
        yield _gap(kind, schema, way, constraint, changes)


def _widened(node: Json) -> Iterator[tuple[str, Json]]:
    """Each constraint of one node, and what is put in its place; None removes."""
    for key, step in _BOUNDS.items():
        if key not in node:
            continue
        exclusive = f"exclusive{key.capitalize()}"
        if exclusive in node:
            yield exclusive, {exclusive: None}
        elif node.get("type") == "number":
            yield key, {key: node[key] + step * _STEP}
        else:
            yield key, {key: node[key] + step}
    for key in ("pattern", "enum", "format"):
        if key in node:
            yield key, {key: None}
    if "x-kubernetes-list-map-keys" in node:
        yield "unique", {"x-kubernetes-list-type": "atomic", "x-kubernetes-list-map-keys": None}
    if "properties" in node:
        yield "closed", {"x-kubernetes-preserve-unknown-fields": True}


def _gap(
    kind: str, schema: Json, way: Way, constraint: str, changes: Json, message: str = ""
) -> Gap:
    open_schema = copy.deepcopy(schema)
    node = _at(open_schema, way)
    for key, value in changes.items():
        if value in (None, []):
            del node[key]
        else:
            node[key] = value
    if not is_transition(rule := _rule(schema, way, message)):
        _drop_transitions(open_schema)
    return Gap(kind, way, constraint, open_schema, message, is_transition(rule))


def _rule(schema: Json, way: Way, message: str) -> str:
    rules = _at(schema, way).get(RULES, ())
    return next((entry["rule"] for entry in rules if entry["message"] == message), "")


def is_transition(rule: str) -> bool:
    """Whether a rule compares with the object as it was: such a rule says nothing on creation."""
    return "oldSelf" in rule


def _drop_transitions(node: Any) -> None:
    """Spare the API server what a creation never asks for."""
    if isinstance(node, dict):
        if RULES in node:
            node[RULES] = [entry for entry in node[RULES] if not is_transition(entry["rule"])]
            if not node[RULES]:
                del node[RULES]
        for child in node.values():
            _drop_transitions(child)
