"""The table, the scores and the times that the demo prints."""

import pytest

from fairlead_cluster.demo import report
from fairlead_cluster.demo.report import Answered


def test_table_marks_exact_answers_and_shows_wrong_ones():
    lines = report.table([Answered("2 kg?", "2000 g", "2020-01-01", "2000 g")])
    assert lines[0].split() == ["question", "right", "answer", "base", "model", "fine-tuned"]
    assert lines[2].split() == ["2", "kg?", "2000", "g", "2020-01-01", "2000", "g", "✓"]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("", "(nothing)"),
        ("a\nb", "a⏎b"),
        ("x" * 60, "x" * 43 + "…"),
        ("2000 G", "2000 G"),
    ],
    ids=["nothing", "two lines", "too long", "almost right is wrong"],
)
def test_answer_is_shown_in_one_cell(answer, shown):
    line = report.table([Answered("q", "2000 g", answer, "t")])[2]
    assert shown in line
    assert "✓" not in line


def test_columns_stand_under_each_other():
    rows = [Answered("q" * n, "r" * n, "b" * n, "t" * n) for n in (1, 7, 30)]
    header, _, *lines = report.table(rows)
    for letter, title in (("r", "right answer"), ("b", "base model"), ("t", "fine-tuned")):
        assert {line.index(letter) for line in lines} == {header.index(title)}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["a", "b"], "2 of 2 exact (100%)"),
        (["a", "x"], "1 of 2 exact (50%)"),
        (["A", " b"], "0 of 2 exact (0%)"),
    ],
    ids=["all", "half", "case and spaces count"],
)
def test_score_counts_exact_answers_only(answers, words):
    assert report.score(answers, ["a", "b"]) == words


def test_score_of_unequal_lists_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        report.score(["a"], ["a", "b"])


def test_times_add_up():
    lines = report.times({"a cluster": 20.0, "the rest": 100.0})
    spent = [line.split("  ")[-1].strip() for line in lines]
    assert spent == [
        "20.0 s",
        "1 min 40 s",
        "2 min 00 s",
    ]
