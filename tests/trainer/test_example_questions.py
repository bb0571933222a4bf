"""The first example's questions: right answers, drawn from a seed, none of them twice."""

import datetime
import importlib.util
import re
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "examples/01-units/questions.py"
spec = importlib.util.spec_from_file_location("units_questions", PATH)
assert spec is not None
assert spec.loader is not None
questions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(questions)

TASKS = ["dates", "amounts"]
SYMBOLS = {
    "gram": "g", "kilo": "kg", "kilogram": "kg",
    "millilitre": "ml", "centilitre": "cl", "litre": "l",
    "millimetre": "mm", "centimetre": "cm", "metre": "m", "kilometre": "km",
}  # fmt: skip
WORDS = {questions.spell(number): number for number in range(1, 100)}


def draw(task, seed, count, seen=()):
    return list(islice(questions.drawn(task, seed, seen), count))


@pytest.mark.parametrize(
    ("number", "words"), [(1, "one"), (13, "thirteen"), (20, "twenty"), (42, "forty-two")]
)
def test_numbers_are_spelled(number, words):
    assert questions.spell(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "first"), (3, "third"), (12, "twelfth"), (20, "twentieth"), (31, "thirty-first")],
)
def test_ranks_are_spelled(number, words):
    assert questions.ordinal(number) == words


@pytest.mark.parametrize(
    ("year", "words"),
    [
        (1900, "nineteen hundred"),
        (1905, "nineteen oh five"),
        (1998, "nineteen ninety-eight"),
        (2000, "two thousand"),
        (2007, "two thousand and seven"),
        (2042, "twenty forty-two"),
    ],
)
def test_years_are_spelled(year, words):
    assert questions.year_in_words(year) == words


def test_answers_to_dates_are_dates_that_the_question_names():
    for question in draw("dates", 1, 2000):
        date = datetime.date.fromisoformat(question.answer)
        years = (str(date.year), questions.year_in_words(date.year))
        assert any(year in question.text for year in years), question
        assert f"{date:%b}" in question.text
        days = (str(date.day), questions.ordinal(date.day), questions.spell(date.day))
        assert any(re.search(rf"\b{day}", question.text, re.IGNORECASE) for day in days), question


def test_answers_to_amounts_are_right_by_another_reckoning():
    names = "|".join(sorted([*SYMBOLS, *SYMBOLS.values()], key=len, reverse=True))
    pattern = re.compile(rf"(?P<number>[\d.]+|[a-z-]+)(?P<half> and a half)? (?P<unit>{names})s?\b")
    for question in draw("amounts", 1, 2000):
        found = pattern.search(question.text)
        assert found is not None, question
        number = found["number"]
        value = Fraction(number) if number[0].isdigit() else Fraction(WORDS[number])
        answer, symbol = question.answer.split()
        assert Fraction(answer) == value + Fraction(1, 2) * bool(found["half"]), question
        assert symbol == SYMBOLS.get(found["unit"], found["unit"]), question


@pytest.mark.parametrize("task", TASKS)
def test_seed_decides_everything(task):
    assert draw(task, 1, 50) == draw(task, 1, 50)
    assert draw(task, 1, 50) != draw(task, 2, 50)


@pytest.mark.parametrize("task", TASKS)
def test_none_is_drawn_twice_nor_from_what_was_seen(task):
    first = draw(task, 1, 5000)
    seen = {questions.normalise(question.text) for question in first}
    assert len(seen) == 5000
    others = draw(task, 1, 500, seen)
    assert not seen & {questions.normalise(question.text) for question in others}


@pytest.mark.parametrize(
    ("one", "other"),
    [("Add 3.5 kg of rice", "add 3.5  KG of rice!"), ("three, kilos?", "Three kilos")],
)
def test_case_punctuation_and_spacing_make_no_new_question(one, other):
    assert questions.normalise(one) == questions.normalise(other)


def test_a_point_in_a_number_does_make_a_new_question():
    assert questions.normalise("3.5 kg") != questions.normalise("35 kg")
