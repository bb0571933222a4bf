"""Bounds of a number, and how long it must be within."""

import math

import pytest

from fairlead_airflow import comparisons
from fairlead_airflow.fields import InvalidField
from fairlead_api import outcome


@pytest.mark.parametrize(
    ("given", "within", "beyond"),
    [
        ({"above": 10}, [10.1], [10, 9]),
        ({"at_least": 10}, [10, 11], [9.9]),
        ({"below": 10}, [9.9, -1], [10]),
        ({"at_most": 0.1}, [0.1, 0], [0.11]),
        ({"at_least": 1, "below": 5}, [1, 4.9], [0.9, 5]),
        ({"at_most": "0.5", "above": None}, [0.5], [0.6]),
        ({"at_most": "0", "above": "None"}, [0], [0.1]),
        ({"at_least": 2, "at_most": 2}, [2], [1.9, 2.1]),
    ],
    ids=str,
)
def test_number_is_within_its_bounds_or_not(given, within, beyond):
    bounds = comparisons.parse(**given)
    assert [bounds.holds(value) for value in within] == [True] * len(within)
    assert [bounds.holds(value) for value in beyond] == [False] * len(beyond)
    assert not bounds.holds(math.nan)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"below": "ten"}, "^below: must be a number, it is 'ten'$"),
        ({"above": math.inf}, "^above: must be a number"),
        ({"below": "nan"}, "^below: must be a number"),
        ({"above": None, "below": ""}, "^above or below: one of them must be given$"),
        ({"at_least": 5, "at_most": 4}, "^at_least, at_most: no number is >= 5 and <= 4$"),
        ({"above": 5, "at_most": 5}, "no number is > 5 and <= 5$"),
    ],
    ids=str,
)
def test_bounds_that_cannot_be_meant_are_named(given, message):
    with pytest.raises(InvalidField, match=message):
        comparisons.parse(**given)


def test_bounds_read_as_they_are_meant():
    assert str(comparisons.Bounds(at_least=0.5, below=3)) == ">= 0.5 and < 3"


@pytest.fixture
def hold(clock):
    return comparisons.Hold(comparisons.Bounds(below=10), 60, clock)


def is_held(seen):
    return isinstance(seen, outcome.Succeeded)


def test_number_must_stay_within_for_all_the_time(hold, clock):
    assert not is_held(hold.judge(5))
    clock.now += 59
    assert not is_held(hold.judge(6))
    assert hold.left() == 1
    clock.now += 1
    seen = hold.judge(7)
    assert is_held(seen)
    assert seen.line == "7, which is < 10, for 60 s"


@pytest.mark.parametrize(
    "between",
    [lambda hold: hold.judge(10), lambda hold: hold.judge(math.nan), lambda hold: hold.unknown("")],
    ids=["beyond", "no number", "unknown"],
)
def test_time_begins_anew_when_it_was_not_within(hold, clock, between):
    hold.judge(5)
    clock.now += 59
    between(hold)
    assert hold.left() == math.inf
    clock.now += 59
    assert not is_held(hold.judge(5))
    clock.now += 60
    assert is_held(hold.judge(5))


def test_without_a_time_the_first_number_within_is_enough(clock):
    seen = comparisons.Hold(comparisons.Bounds(at_most=1), 0, clock).judge(0.25)
    assert (is_held(seen), seen.line) == (True, "0.25, which is <= 1")


def test_line_says_what_is_waited_for(hold):
    assert hold.judge(50).line == "50, must be < 10"
    assert hold.judge(5).line == "5, which is < 10; must be for 60 s"
    assert hold.unknown("no data").line == "no data"
