"""No field of our kinds may change without a way that changes it: by the CRDs' own schemas."""

import itertools

import pytest

from fairlead_api import crd
from fairlead_chaos import jobways, transitions

UNCHANGED = {
    "ModelService": {},
    "FineTuneJob": {
        "trainer.type": "it is required, and its one field has one value",
    },
}
"""Leaves that may change and that no way changes, and why."""


def leaves(schema, path=""):
    """The path of every leaf below a node; what holds entries of any name is one leaf."""
    if "properties" in schema:
        for name, child in schema["properties"].items():
            yield from leaves(child, f"{path}.{name}".removeprefix("."))
    elif "items" in schema:
        yield from leaves(schema["items"], f"{path}[]")
    else:
        yield path


def changed(schema, before, after, path=""):
    """The leaves at which two values differ; what is absent has its default."""
    if "properties" in schema:
        for name, child in schema["properties"].items():
            old, new = (filled(child, (one or {}).get(name)) for one in (before, after))
            yield from changed(child, old, new, f"{path}.{name}".removeprefix("."))
    elif "items" in schema:
        for old, new in itertools.zip_longest(before or [], after or []):
            yield from changed(schema["items"], old, new, f"{path}[]")
    elif before != after:
        yield path


def filled(schema, value):
    return schema.get("default") if value is None else value


def immutable(schema):
    """The fields that CEL lets nobody change, by rules of their own or of what holds them."""
    fields = {name for name, child in schema["properties"].items() if any(of_changes(child))}
    return fields | {rule["fieldPath"].removeprefix(".") for rule in of_changes(schema)}


def of_changes(schema):
    rules = schema.get("x-kubernetes-validations", [])
    return [rule for rule in rules if "oldSelf" in rule["rule"]]


def is_below(path, fields):
    return path.replace("[]", "").split(".")[0] in fields


def spec_schema(body):
    (version,) = body["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def steps(ways, spec):
    """The specs before and after every step of some ways."""
    for way in ways:
        yield from itertools.pairwise(spec(state, way.context) for state in way.states)


KINDS = [
    pytest.param(crd.modelservice_crd(), transitions.ways, transitions.spec, id="ModelService"),
    pytest.param(crd.finetunejob_crd(), jobways.ways, jobways.spec, id="FineTuneJob"),
]


@pytest.mark.parametrize(("body", "ways", "spec"), KINDS)
def test_every_leaf_that_may_change_is_changed_by_a_way(body, ways, spec):
    schema, excused = spec_schema(body), UNCHANGED[body["spec"]["names"]["kind"]]
    mutable = {leaf for leaf in leaves(schema) if not is_below(leaf, immutable(schema))}
    by_ways = {leaf for one, other in steps(ways(), spec) for leaf in changed(schema, one, other)}
    assert by_ways <= mutable, "CEL refuses these"
    assert mutable - by_ways - excused.keys() == set()


@pytest.mark.parametrize(("body", "ways", "spec"), KINDS)
def test_no_excuse_is_needless(body, ways, spec):
    schema, excused = spec_schema(body), UNCHANGED[body["spec"]["names"]["kind"]]
    by_ways = {leaf for one, other in steps(ways(), spec) for leaf in changed(schema, one, other)}
    mutable = {leaf for leaf in leaves(schema) if not is_below(leaf, immutable(schema))}
    assert excused.keys() <= mutable - by_ways


def test_a_leaf_is_told_wherever_it_stands():
    text = {"type": "string"}
    schema = {
        "properties": {
            "one": text | {"default": "a"},
            "part": {"properties": {"inner": text}},
            "many": {"items": {"properties": {"name": text, "other": text}}},
            "any": {"additionalProperties": text},
        }
    }
    assert list(leaves(schema)) == ["one", "part.inner", "many[].name", "many[].other", "any"]
    assert list(changed(schema, {}, {"one": "a", "many": [{"name": "x"}]})) == ["many[].name"]
    assert list(changed(schema, {"part": {"inner": "x"}}, {"any": {"k": "v"}})) == [
        "part.inner",
        "any",
    ]
