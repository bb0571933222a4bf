"""The CRDs follow the structural subset; a real API server is asked in tests/cluster."""

import json

import pytest

from fairlead_api import crd, names
from fairlead_api.quantities import ResourceRequirements

CRDS = [crd.finetunejob_crd(), crd.modelservice_crd()]
IDS = [names.FINETUNEJOB, names.MODELSERVICE]


def nodes(node, path="$"):
    """Every schema node with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}.{key}")


def schema_of(body):
    return body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


@pytest.mark.parametrize("body", CRDS, ids=IDS)
def test_no_reference_union_or_null_is_left(body):
    text = json.dumps(schema_of(body))
    for word in ("$ref", "$defs", "anyOf", '"null"', '"const"', '"title":'):
        assert word not in text


@pytest.mark.parametrize("body", CRDS, ids=IDS)
def test_every_field_of_spec_is_described(body):
    bare = [
        path
        for path, node in nodes(schema_of(body)["properties"]["spec"])
        if "description" not in node and not path.endswith((".items", ".additionalProperties"))
    ]
    assert bare == []


@pytest.mark.parametrize("body", CRDS, ids=IDS)
def test_lists_maps_and_strings_of_spec_are_bounded(body):
    bounds = {"array": "maxItems", "string": "maxLength"}
    unbounded = [
        path
        for path, node in nodes(schema_of(body)["properties"]["spec"])
        if node.get("type") in bounds and bounds[node["type"]] not in node and "enum" not in node
    ]
    assert unbounded == []
    maps = [(p, n) for p, n in nodes(schema_of(body)) if "additionalProperties" in n]
    assert [path for path, node in maps if "maxProperties" not in node] == []


@pytest.mark.parametrize("body", CRDS, ids=IDS)
def test_status_is_never_filled_in(body):
    status = schema_of(body)["properties"]["status"]
    assert [path for path, node in nodes(status) if "default" in node] == []


@pytest.mark.parametrize("body", CRDS, ids=IDS)
def test_every_rule_has_a_message_that_names_a_field(body):
    for _, node in nodes(schema_of(body)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"] and rule["rule"]


def test_what_never_lacks_is_immutable_by_a_rule_of_its_own():
    """Each member that a rule of the whole spec reads costs at every write, also of a status."""
    spec = schema_of(CRDS[0])["properties"]["spec"]
    own = {"rule": "self == oldSelf"}
    changeable = {"trainer", "suspend"}
    for name, field in spec["properties"].items():
        at_field = [
            rule for rule in field.get("x-kubernetes-validations", ()) if rule | own == rule
        ]
        lacks = name not in spec["required"] and "default" not in field
        assert len(at_field) == (name not in changeable and not lacks), name
    of_spec = [rule for rule in spec["x-kubernetes-validations"] if "oldSelf" in rule["rule"]]
    assert [rule["fieldPath"] for rule in of_spec] == [".numProcPerNode"]


def test_rules_of_a_part_and_of_the_field_that_holds_it_add_up():
    tuning = schema_of(CRDS[0])["properties"]["spec"]["properties"]["tuning"]
    rules = [rule["rule"] for rule in tuning["x-kubernetes-validations"]]
    assert rules[-1] == "self == oldSelf"
    assert "self.type == 'LoRA' || !has(self.r)" in rules


@pytest.mark.parametrize("field", ["limits", "requests"])
def test_processes_are_bounded_by_gpus_wherever_they_are_asked_for(field):
    """As ``ResourceRequirements.amount`` counts them."""
    asked = {field: {names.GPU_RESOURCE: "2"}}
    assert ResourceRequirements.model_validate(asked).amount(names.GPU_RESOURCE) == 2
    rules = [
        rule["rule"]
        for rule in schema_of(CRDS[0])["properties"]["spec"]["x-kubernetes-validations"]
        if rule.get("fieldPath") == ".numProcPerNode" and "oldSelf" not in rule["rule"]
    ]
    bound = f"self.numProcPerNode <= int(self.resourcesPerNode.{field}['{names.GPU_RESOURCE}'])"
    assert [bound in rule for rule in rules].count(True) == 1


@pytest.mark.parametrize(
    ("body", "short", "subresources"),
    [(CRDS[0], "ftj", {"status"}), (CRDS[1], "msvc", {"status", "scale"})],
    ids=IDS,
)
def test_names_and_subresources(body, short, subresources):
    spec = body["spec"]
    assert spec["names"]["shortNames"] == [short]
    assert spec["names"]["plural"] == spec["names"]["kind"].lower() + "s"
    assert spec["names"]["categories"] == [names.CATEGORY]
    assert set(spec["versions"][0]["subresources"]) == subresources


def test_scale_points_at_fields_that_exist():
    body = CRDS[1]
    scale = body["spec"]["versions"][0]["subresources"]["scale"]
    for path in scale.values():
        node = schema_of(body)
        for part in path.removeprefix(".").split("."):
            node = node["properties"][part]


@pytest.mark.parametrize("body", CRDS, ids=IDS)
def test_columns_point_at_fields_that_exist(body):
    for column in body["spec"]["versions"][0]["additionalPrinterColumns"]:
        node = schema_of(body)
        for part in column["jsonPath"].removeprefix(".").split("[")[0].split("."):
            if part == "metadata":
                break
            node = node["properties"][part]


def test_union_that_has_no_structural_schema_is_an_error():
    with pytest.raises(ValueError, match="no structural schema"):
        crd._resolved({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, {})
