"""Conditions: merging says what is new, and nothing where nothing is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_api import conditions
from fairlead_api.base import Condition

THEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = THEN + timedelta(hours=1)
TYPES = ["Admitted", "Trained", "Complete"]


def make(type_, status, *, at=THEN, reason="R", message=""):
    return conditions.condition(type_, status, reason, message, now=at, generation=1)


CONDITIONS = st.builds(
    make,
    st.sampled_from(TYPES),
    st.sampled_from([True, False, None]),
    at=st.sampled_from([THEN, LATER]),
    reason=st.sampled_from(["A", "B"]),
)
LISTS = st.lists(CONDITIONS, unique_by=lambda condition: condition.type)


@given(old=LISTS, new=LISTS)
def test_merging_twice_is_merging_once(old, new):
    once = conditions.merge(old, new)
    assert conditions.merge(once, new) == once


@given(old=LISTS, new=LISTS)
def test_each_type_stands_once_and_old_ones_first(old, new):
    merged = [condition.type for condition in conditions.merge(old, new)]
    fresh = [c.type for c in new if c.type not in {o.type for o in old}]
    assert merged == [c.type for c in old] + fresh


@given(old=LISTS, new=LISTS)
def test_transition_time_moves_only_with_the_status(old, new):
    for condition in conditions.merge(old, new):
        before = conditions.find(old, condition.type)
        said = conditions.find(new, condition.type)
        if said is None:
            assert condition == before
        elif before is not None and before.status == said.status:
            assert condition.last_transition_time == before.last_transition_time
            assert condition.reason == said.reason
        else:
            assert condition == said


def test_dropped_types_are_left_out():
    old = [make("Admitted", True), make("Trained", True)]
    merged = conditions.merge(old, [make("Complete", True)], drop=["Trained", "Absent"])
    assert [condition.type for condition in merged] == ["Admitted", "Complete"]


@pytest.mark.parametrize(("status", "word"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_status_is_a_word(status, word):
    assert make("Admitted", status).status == word


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([("Complete", True)], True),
        ([("Complete", False)], False),
        ([("Complete", None)], False),
        ([], False),
    ],
)
def test_is_true_means_there_and_true(present, expected):
    listed = [make(type_, status) for type_, status in present]
    assert conditions.is_true(listed, "Complete") is expected


def test_message_is_cut_to_what_the_schema_takes():
    assert len(make("Admitted", True, message="x" * 9000).message) == 4096


def test_time_is_written_as_kubernetes_does():
    odd = datetime.fromisoformat("2026-01-01T03:04:05.678901+02:00")
    written = make("Admitted", True, at=odd).as_object()
    assert written["lastTransitionTime"] == "2026-01-01T01:04:05Z"
    assert Condition.model_validate(written).as_object() == written


def test_reasons_and_types_fit_into_a_condition():
    for word in [*conditions.Reason, *conditions.FineTuneJobCondition, conditions.RECONCILE_ERROR]:
        assert make(word, True, reason=word).reason == word
