"""Durations, amounts and models: what the bounded types take and give."""

import pytest
from pydantic import TypeAdapter, ValidationError

from fairlead_api import base, quantities
from fairlead_api.finetunejob import FineTuneJob, FineTuneJobSpec
from fairlead_api.quantities import ResourceRequirements
from fairlead_api.rules import Rule

MINIMAL = {
    "model": {"uri": "pvc://store/base"},
    "datasets": [{"name": "rows", "inline": "{}"}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "store"},
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("0s", 0),
        ("99999h", 359_996_400),
    ],
)
def test_duration_is_read(text, seconds):
    assert TypeAdapter(base.DurationText).validate_python(text) == text
    assert base.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "30", "1.5h", "-1m", "1d", "1h 5m", "100000s", "1h1m1s1h"]
)
def test_other_text_is_no_duration(text):
    with pytest.raises(ValidationError):
        TypeAdapter(base.DurationText).validate_python(text)


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("a", True), ("a.b-c.1", True), ("a--b", True), ("a..b", False), ("a.-b", False),
        ("a-.b", False), (".a", False), ("a.", False), ("A", False), ("", False),
    ],
)  # fmt: skip
def test_name_is_one_that_kubernetes_takes(name, is_valid):
    read = TypeAdapter(base.ObjectName).validate_python
    if is_valid:
        assert read(name) == name
        return
    with pytest.raises(ValidationError):
        read(name)


@pytest.mark.parametrize(
    ("quantity", "is_valid"),
    [
        (2, True), ("2", True), ("500m", True), ("1.5", True), (".5", True), ("16Gi", True),
        ("1e3", True), ("2M", True), (0, True), (-1, False), ("", False), ("two", False),
        ("8GB", False), ("1 Gi", False), ("-2", False), ("1.2.3", False),
    ],
)  # fmt: skip
def test_quantity_is_one_of_kubernetes(quantity, is_valid):
    read = TypeAdapter(quantities.Quantity).validate_python
    if is_valid:
        assert read(quantity) == quantity
        return
    with pytest.raises(ValidationError):
        read(quantity)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (".5", "500m"), ("1.", "1"), ("1e3", "1k"), ("1E3", "1k"), ("25e-1", "2500m"),
        ("1500u", "1500000n"), ("1000k", "1M"), ("2.5Gi", "2560Mi"), ("1000m", 1), ("1Ki", "1024"),
        ("1E", "1e18"), ("1Ei", "1024Pi"),
    ],
)  # fmt: skip
def test_quantities_of_one_amount_are_equal(written, stored):
    assert quantities.amount(written) == quantities.amount(stored) is not None


@pytest.mark.parametrize("other", ["two", "", "8GB", "1e", "1e99999999999999999999", None, {}])
def test_what_is_no_quantity_has_no_amount(other):
    assert quantities.amount(other) is None


@pytest.mark.parametrize(
    ("limits", "requests", "amount"),
    [({}, {}, 0), ({"g": 2}, {}, 2), ({"g": "4"}, {"g": "4"}, 4), ({}, {"g": 1}, 1)],
)
def test_amount_of_a_device(limits, requests, amount):
    assert ResourceRequirements(limits=limits, requests=requests).amount("g") == amount


@pytest.mark.parametrize(
    ("given", "gpus", "processes"), [(None, 0, 1), (None, 4, 4), (2, 4, 2), (3, 0, 3)]
)
def test_processes_follow_gpus_unless_they_are_given(given, gpus, processes):
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    spec = MINIMAL | {"numProcPerNode": given, "resourcesPerNode": {"limits": limits}}
    assert FineTuneJobSpec.model_validate(spec).processes_per_node == processes


def test_unknown_field_of_a_spec_is_an_error_with_its_name():
    with pytest.raises(ValidationError, match="epochs"):
        FineTuneJobSpec.model_validate(MINIMAL | {"epochs": 3})


def test_spec_survives_the_way_to_json_and_back():
    spec = FineTuneJobSpec.model_validate(MINIMAL)
    assert FineTuneJobSpec.model_validate(spec.as_object()) == spec


def test_resource_as_the_server_returns_it_is_read():
    body = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {
            "name": "a",
            "namespace": "b",
            "uid": "u",
            "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [],
        },
        "spec": MINIMAL,
        "status": {"phase": "Training", "fieldOfANewerVersion": 1},
    }
    job = FineTuneJob.read(body)
    assert (job.metadata.generation, job.status.phase) == (2, "Training")


@pytest.mark.parametrize(
    ("rule", "schema"),
    [
        (Rule("r", "m"), {"rule": "r", "message": "m"}),
        (Rule("r", "m", ".f"), {"rule": "r", "message": "m", "fieldPath": ".f"}),
    ],
)
def test_rule_is_spelled_as_the_crd_does(rule, schema):
    assert rule.as_schema() == schema
