"""Hand-written manifests: what is right is taken, what is wrong is refused with its field named.

The API server, ``fairlead validate`` and the independent judge are asked about each row.
"""

from pathlib import Path

import pytest
import yaml

from fairlead_admission import fields, scratch, tables
from fairlead_api import manifest, names
from fairlead_cli import manifests

pytestmark = pytest.mark.cluster

TABLES = Path(__file__).parent
EXAMPLES = TABLES.parents[2] / "examples"
SUITE = tables.read(TABLES)
TAKEN = [row for row in SUITE.creations if row.names is None]
REFUSED = [row for row in SUITE.creations if row.names is not None]
MODELS = manifest.KINDS
ENOUGH = 400


def by_id(rows):
    return [pytest.param(row, id=row.id) for row in rows]


def is_named(expected, paths):
    """Whether one of the paths is the expected one, or lies below it."""
    below = (f"{expected}.", f"{expected}[")
    return any(path == expected or path.startswith(below) for path in paths)


def judged(row):
    """What the judge finds; it knows nothing of status, which a creation sets aside."""
    body = {key: value for key, value in row.manifest.items() if key != "status"}
    if row.before:
        return fields.faults_of_change(SUITE.before[row.before], body)
    return fields.faults(body)


def is_of_status(row):
    return (row.names or "").startswith("status")


@pytest.mark.parametrize("row", by_id(TAKEN))
def test_valid_manifest_is_taken_by_all(wire, in_scratch, row):
    answer = scratch.offer(wire, in_scratch(row.manifest))
    assert answer.accepted, answer.message
    assert [*manifest.faults(row.manifest)] == []
    assert judged(row) == []


@pytest.mark.parametrize("row", by_id(REFUSED))
def test_invalid_manifest_is_refused_by_all_with_the_field_named(wire, in_scratch, row):
    answer = scratch.offer(wire, in_scratch(row.manifest))
    assert not answer.accepted
    assert is_named(row.names, answer.named), answer.message
    assert row.says in answer.message
    told = [fault.field for fault in manifest.faults(row.manifest)]
    whole = row.names.rpartition("[")[0]  # validate points at a list that has two items of a name
    assert is_named(row.names, told) or whole in told
    assert is_of_status(row) or is_named(row.names, judged(row))


@pytest.mark.parametrize("row", by_id(SUITE.changes))
def test_change_is_taken_or_refused_with_the_field_named(wire, in_scratch, stored, row):
    answer = scratch.answer(wire, row, in_scratch, stored)
    assert answer.accepted == (row.names is None), answer.message
    if row.names is None:
        assert judged(row) == []
        return
    assert is_named(row.names, answer.named), answer.message
    assert row.says in answer.message
    assert is_named(row.names, judged(row))


@pytest.mark.parametrize("row", by_id(SUITE.statuses))
def test_status_is_taken_or_refused_with_the_field_named(wire, in_scratch, stored, row):
    answer = scratch.answer(wire, row, in_scratch, stored)
    assert answer.accepted == (row.names is None), answer.message
    if row.names is None:
        MODELS[row.kind].read(answer.body)  # what is stored, the operator can read
        return
    assert is_named(row.names, answer.named), answer.message
    assert row.says in answer.message


def test_tables_hold_enough_and_no_manifest_twice(report):
    made = [str(row.manifest) for row in SUITE.creations]
    assert [row.id for row in SUITE.creations if made.count(str(row.manifest)) > 1] == []
    refused = [row for row in SUITE.rows if row.names is not None]
    report["refused_by_hand"] = {
        "creation": {kind: sum(row.kind == kind for row in REFUSED) for kind in MODELS},
        "change": sum(row in refused for row in SUITE.changes),
        "status": sum(row in refused for row in SUITE.statuses),
    }
    report["taken_by_hand"] = len(SUITE.rows) - len(refused)
    assert len(REFUSED) >= ENOUGH


@pytest.mark.parametrize("kind", MODELS)
def test_every_member_of_a_spec_is_changed_in_some_row(kind):
    """No field enters without a row that says whether it may change."""
    before = {name: body["spec"] for name, body in SUITE.before.items()}
    rows = [row for row in SUITE.changes if row.kind == kind]
    part = fields.SPECS[kind]
    moved = {
        key
        for row in rows
        for key in part.members
        if row.manifest["spec"].get(key) != before[row.before].get(key)
    }
    assert moved == part.members.keys()


@pytest.mark.parametrize(
    ("replicas", "is_taken"),
    [(0, True), (10_000, True), (-1, False), (10_001, False)],
    ids=["none", "most", "negative", "above"],
)
def test_scale_keeps_the_bounds_of_replicas(wire, stored, replicas, is_taken):
    path = scratch.path_of(stored["service"], "service") + "/scale"
    scale = wire.ask("GET", path).body
    scale["spec"] = {"replicas": replicas}
    answer = wire.ask("PUT", path, scale, dryRun="All", fieldValidation="Strict")
    assert answer.accepted == is_taken
    assert is_taken or "spec.replicas" in answer.named, answer.message


def examples():
    """Every document of ours in the examples, by file and place."""
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        for place, body in enumerate(yaml.safe_load_all(path.read_text())):
            if str(body.get("apiVersion", "")).startswith(f"{names.GROUP}/"):
                yield pytest.param(path, body, id=f"{path.relative_to(EXAMPLES)}-{place}")


@pytest.mark.parametrize(("path", "body"), [*examples()])
def test_example_is_taken_by_all(wire, in_scratch, path, body):
    body["metadata"]["namespace"] = "default"
    answer = scratch.offer(wire, in_scratch(body))
    assert answer.accepted, answer.message
    assert manifests.check_file(path).faults == ()
    assert fields.faults(body) == []


@pytest.mark.parametrize("kind", MODELS)
def test_defaults_are_those_of_the_models_and_of_the_judge(wire, in_scratch, kind):
    minimal = SUITE.minimal[kind]
    filled = scratch.offer(wire, in_scratch(minimal)).body["spec"]
    assert filled == MODELS[kind].read(minimal).spec.as_object()
    assert filled == fields.SPECS[kind].filled(minimal["spec"])
