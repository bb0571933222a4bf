"""A task scales a service up, never down by accident, and puts back what was."""

import pytest

from fairlead_airflow import replicas, waiting
from fairlead_airflow.replicas import Wish
from fairlead_api import names, outcome
from fairlead_api.conditions import Reason


def service(now=1, note=None, set_=None, ready=0, generation=2, observed=2, conditions=()):
    notes = {names.ANNOTATION_REPLICAS: note, names.ANNOTATION_REPLICAS_SET: set_}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {
            "name": "units",
            "namespace": "team",
            "uid": "u-1",
            "resourceVersion": "7",
            "generation": generation,
            "annotations": {key: value for key, value in notes.items() if value is not None},
        },
        "spec": {"model": {"uri": "pvc://work/base"}, "replicas": now},
        "status": {
            "observedGeneration": observed,
            "readyReplicas": ready,
            "conditions": list(conditions),
        },
    }


def changed(patch):
    """(replicas, count before, count set) of a patch; "-" for what it leaves alone."""
    if patch is None:
        return None
    assert patch["metadata"]["uid"] == "u-1"
    assert patch["metadata"]["resourceVersion"] == "7"
    notes = patch["metadata"].get("annotations", {})
    keys = (names.ANNOTATION_REPLICAS, names.ANNOTATION_REPLICAS_SET)
    return patch.get("spec", {}).get("replicas", "-"), *(notes.get(key, "-") for key in keys)


@pytest.mark.parametrize(
    ("body", "wish", "expected"),
    [
        (service(1), Wish(replicas=3), (3, "-", "-")),
        (service(3), Wish(replicas=0), (0, "-", "-")),
        (service(3), Wish(replicas=3), None),
        (service(1), Wish(at_least=3), (3, "1", "3")),
        (service(0), Wish(at_least=1), (1, "0", "1")),
        (service(5), Wish(at_least=3), None),
        (service(3), Wish(at_least=3), None),
        (service(3, "1", "3"), Wish(at_least=5), (5, "1", "5")),
        (service(2, "1", "3"), Wish(at_least=5), (5, "2", "5")),
        (service(2, "many", "2"), Wish(at_least=5), (5, "2", "5")),
    ],
    ids=[
        "up",
        "down",
        "as it is",
        "at least",
        "at least, from zero",
        "more than that already",
        "as many already",
        "the first count outlasts a second try",
        "somebody scaled it since the note",
        "a note that is no number",
    ],
)
def test_wish_becomes_a_patch_of_this_version(body, wish, expected):
    assert changed(replicas.patch(body, wish)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (service(3), None),
        (service(3, "1", "3"), (1, None, None)),
        (service(3, "1"), (1, None, None)),
        (service(5, "1", "3"), ("-", None, None)),
        (service(3, "many", "3"), ("-", None, None)),
        (service(1, "1", "1"), (1, None, None)),
    ],
    ids=[
        "no note",
        "note",
        "note of the count before alone",
        "somebody scaled it since",
        "a note that is no number",
        "nothing was changed",
    ],
)
def test_restoring_puts_back_the_count_and_takes_the_note_away(body, expected):
    assert changed(replicas.patch(body, Wish(restores=True))) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (0, 0), (3, 3), ("3", 3), (" 12 ", 12)], ids=str
)
def test_count_may_come_from_a_template(value, expected):
    assert replicas.count("replicas", value) == expected


@pytest.mark.parametrize("value", [-1, "", "three", "1.5", 1.5, True, "٣"], ids=repr)
def test_what_is_no_count_is_named(value):
    with pytest.raises(replicas.InvalidCount, match="at_least: must be a number of replicas"):
        replicas.count("at_least", value)


IMAGE = {
    "type": "Ready",
    "status": "False",
    "reason": str(Reason.ARGUMENT_REFUSED),
    "message": "vLLM refuses it",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, waiting.Gone),
        (service(3, generation=1), outcome.Waiting),
        (service(3, ready=3, observed=1), outcome.Waiting),
        (service(3, ready=2), outcome.Waiting),
        (service(3, ready=3), outcome.Succeeded),
        (service(5, ready=4), outcome.Succeeded),
        (service(2, ready=2, generation=3, observed=3), outcome.Failed),
        (service(3, conditions=[IMAGE]), outcome.Failed),
    ],
    ids=[
        "gone",
        "older version",
        "the operator has not seen it",
        "some are ready",
        "all are ready",
        "more than asked for",
        "scaled down meanwhile",
        "will never be ready",
    ],
)
def test_waits_until_so_many_are_ready(body, expected):
    assert isinstance(replicas.judge(body, "u-1", 2, 3), expected)


def test_line_counts_what_is_ready():
    assert replicas.judge(service(3, ready=2), "u-1", 2, 3).line == "2 of 3 replicas ready"
