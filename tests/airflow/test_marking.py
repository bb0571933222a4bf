"""Scores of a whole exam: what was refused counts as wrong, and too much of it is no score."""

import math

import pytest

from fairlead_airflow import marking, scores
from fairlead_airflow.exam import Question
from fairlead_airflow.judging import Judge, TooManyUnreadable
from fairlead_airflow.marking import Record, TooManyRefused
from fairlead_airflow.scores import Metric

ALL = (Metric.EXACT_MATCH, Metric.BLEU, Metric.PERPLEXITY, Metric.JUDGE)


def record(answer="7 l", expected="7 l", line=1, **more):
    return Record(Question(line, {"prompt": "7 litres"}, expected), answer, **more)


def answered(**more):
    return record(is_answered=True, **more)


REFUSED = record("", line=9, error="too long", grade=0.0)


def test_scores_are_of_all_questions_together():
    half, quarter = math.log(1 / 2), math.log(1 / 4)
    found = marking.scores_of(
        [
            answered(logprobs=[half], grade=1.0),
            answered(answer="8 l", logprobs=[half, quarter, quarter], grade=0.5),
        ],
        ALL,
    )
    assert found == {
        "exact_match": 0.5,
        "bleu": pytest.approx(100 * math.sqrt(3 / 4 * 1 / 2)),
        "perplexity": pytest.approx(2**1.5),
        "judge": 0.75,
    }


def test_refused_question_is_answered_wrong_and_has_no_perplexity():
    records = [answered(logprobs=[-1.0], grade=1.0), REFUSED]
    found = marking.scores_of(records, ALL)
    assert (found["exact_match"], found["judge"]) == (0.5, 0.5)
    assert found["perplexity"] == pytest.approx(math.e)
    assert found["bleu"] < 100


def test_unreadable_grade_is_left_out():
    records = [answered(grade=1.0), answered(grade=None, said="Great!")]
    assert marking.scores_of(records, (Metric.JUDGE,)) == {"judge": 1.0}


def test_only_what_is_wanted_is_counted():
    assert marking.scores_of([answered()], (Metric.EXACT_MATCH,)) == {"exact_match": 1.0}


@pytest.mark.parametrize(
    ("records", "metric"),
    [
        ([REFUSED], Metric.PERPLEXITY),
        ([answered(logprobs=[])], Metric.PERPLEXITY),
        ([answered(grade=None)], Metric.JUDGE),
    ],
    ids=["all refused", "no token", "no grade"],
)
def test_score_of_nothing_is_named_and_not_made_up(records, metric):
    with pytest.raises(scores.NothingScored, match=f"{metric}: nothing to make it of in 1"):
        marking.scores_of(records, (metric,))


def test_share_of_refused_questions_up_to_the_bound_is_counted():
    assert marking.check_refused([answered(), REFUSED], 0.5) == 1
    assert marking.check_refused([answered()], 0) == 0


def test_more_refused_than_the_bound_fail_with_the_first_ones_and_their_lines():
    with pytest.raises(TooManyRefused) as refused:
        marking.check_refused([answered(), *[REFUSED] * 4], 0.5)
    said = str(refused.value).split("\n")
    assert said[0] == "4 of 5 questions were refused, more than 50%"
    assert said[1:] == ["question in line 9: too long"] * marking.MAX_SHOWN


def test_grades_that_can_not_be_read_are_counted_among_the_answered():
    judge = Judge(service="j", max_unreadable=0.5)
    records = [answered(grade=1.0), answered(grade=None), REFUSED]
    assert marking.check_grades(records, judge) == 1
    with pytest.raises(TooManyUnreadable, match="2 of 3 grades"):
        marking.check_grades([*records, answered(grade=None)], judge)


def test_report_shows_each_question_with_what_was_measured():
    records = [
        answered(finish_reason="length", logprobs=[-1.0, -1.0], grade=None, said="Great!"),
        REFUSED,
    ]
    report = marking.report(records, ALL, {"bleu": 1.0}, {"service": "team/units"})
    questions = report.pop("questions")
    assert report == {
        "service": "team/units",
        "scores": {"bleu": 1.0},
        "num_questions": 2,
        "num_errors": 1,
        "num_cut_off": 1,
    }
    assert questions == [
        {
            "line": 1,
            "prompt": "7 litres",
            "expected": "7 l",
            "answer": "7 l",
            "finish_reason": "length",
            "scores": {
                "exact_match": 1.0,
                "bleu": pytest.approx(100),
                "perplexity": pytest.approx(math.e),
                "judge": None,
            },
            "num_tokens": 2,
            "judge_said": "Great!",
        },
        {
            "line": 9,
            "prompt": "7 litres",
            "expected": "7 l",
            "answer": "",
            "finish_reason": "",
            "scores": {"exact_match": 0.0, "bleu": 0.0, "perplexity": None, "judge": 0.0},
            "num_tokens": 0,
            "error": "too long",
        },
    ]


def test_report_shows_no_answer_where_none_was_asked_for():
    (row,) = marking.report([record("")], (Metric.PERPLEXITY,), {}, {})["questions"]
    assert "answer" not in row
    assert row["scores"] == {"perplexity": None}
