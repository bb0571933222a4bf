"""Which stage of kwok's befalls which pod: the fate with the most of its labels, or none."""

import json

import pytest

from fairlead_chaos import fates
from fairlead_chaos.scenario import Fate


def stage(found, name):
    (one,) = [each for each in found if each["metadata"]["name"] == name]
    return one["spec"]


def but_for(spec):
    """The labels that a stage's pods must not have, as kwok asks for them."""
    asked = spec["selector"]["matchExpressions"]
    return [each["key"] for each in asked if each["operator"] == "NotIn"]


def test_a_namespace_tells_the_scenario_of_its_pods():
    assert fates.scenario_of(fates.namespace_of("two-nodes")) == "two-nodes"
    assert fates.namespace_of("same") != fates.namespace_of("same")


def test_without_fates_pods_only_begin_and_go():
    found = [each["metadata"]["name"] for each in fates.stages([])]
    assert found == ["pod-begin", "pod-interrupted", "pod-delete"]


def test_a_fate_goes_before_what_befalls_every_pod():
    found = fates.stages([Fate("s", {"a": "1"}, is_ready=False)])
    assert [stage(found, name)["weight"] for name in ("begin-0", "end-0")] == [1, 1]
    assert "weight" not in stage(found, "pod-begin")


def test_a_fate_that_runs_on_has_no_end():
    found = [each["metadata"]["name"] for each in fates.stages([Fate("s", {"a": "1"}, None)])]
    assert "end-0" not in found


def test_of_two_fates_the_one_with_more_labels_befalls_a_pod():
    common, special = Fate("s", {"a": "1"}), Fate("s", {"a": "1", "b": "2"}, exit_code=1)
    found = fates.stages([common, special])
    assert but_for(stage(found, "end-0")) == ['.metadata.labels["b"] == "2"']
    assert but_for(stage(found, "end-1")) == []


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Fate("s", {"a": "2"}), id="another-value"),
        pytest.param(Fate("another", {"a": "1"}), id="another-scenario"),
    ],
)
def test_fates_of_different_pods_take_no_notice_of_each_other(other):
    found = fates.stages([Fate("s", {"a": "1"}), other])
    assert but_for(stage(found, "end-0")) == but_for(stage(found, "end-1")) == []


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"a": "1"}, id="the-same-labels"),
        pytest.param({"b": "2"}, id="labels-that-one-pod-may-have-all-of"),
    ],
)
def test_fates_that_nothing_tells_apart_are_refused(other):
    with pytest.raises(fates.FateError, match="same pod"):
        fates.stages([Fate("s", {"a": "1"}), Fate("s", other, exit_code=1)])


@pytest.mark.parametrize("code", [0, 1, 137])
def test_an_end_tells_code_message_and_phase(code):
    message = '{"cause": "Any", "braces": "{{ .nothing }}"}'
    found = fates.stages([Fate("s", {"a": "1"}, code, message, milliseconds=70)])
    end = stage(found, "end-0")
    template = end["next"]["statusTemplate"]
    assert end["delay"] == {"durationMilliseconds": 70}
    assert f"exitCode: {code}\n" in template
    assert "{{ " + json.dumps(message) + " | Quote }}" in template
    assert ("Succeeded" in template) is (code == 0)
