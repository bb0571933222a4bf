"""Scores are figures of answers, or named as missing; none divides by zero."""

import math

import pytest

from fairlead_airflow import scores
from fairlead_airflow.scores import InvalidGrade, InvalidMetric, Metric, NothingScored

WORTH = {"good": 1.0, "so-so": 0.5, "bad": 0.0}


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("7 l", "7 l", 1.0),
        ("  7 l\n", " 7 l", 1.0),
        ("7 L", "7 l", 0.0),
        ("7  l", "7 l", 0.0),
        ("", "7 l", 0.0),
    ],
    ids=["same", "blanks around", "other case", "blanks within", "nothing"],
)
def test_exact_match_is_of_the_text_without_the_blanks_around(answer, expected, score):
    assert scores.exact_match(answer, expected) == score


@pytest.mark.parametrize(
    ("logprobs", "perplexity"),
    [
        ([math.log(1 / 4)], 4.0),
        ([math.log(1 / 2), math.log(1 / 8)], 4.0),
        ([0.0, 0.0], 1.0),
        ([1e-9], 1.0),
        ([-9999.0], math.exp(700)),
    ],
    ids=["one token", "geometric mean", "certain", "above 1 by rounding", "impossible token"],
)
def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities(logprobs, perplexity):
    assert scores.perplexity(logprobs) == pytest.approx(perplexity)


@pytest.mark.parametrize("score", [scores.mean, scores.perplexity])
def test_score_of_nothing_is_named(score):
    with pytest.raises(NothingScored):
        score([])


def test_mean_is_exact():
    assert scores.mean([0.1] * 10) == 0.1


def test_metrics_that_are_asked_for_keep_their_order_and_come_once():
    found = scores.check(["bleu", "exact_match", "bleu"])
    assert found == (Metric.BLEU, Metric.EXACT_MATCH)


@pytest.mark.parametrize("metrics", [["bleu"], ["bleu", "judge"]], ids=["unsaid", "said"])
def test_score_of_a_judge_is_there_when_the_judge_is(metrics):
    assert scores.check(metrics, has_judge=True) == (Metric.BLEU, Metric.JUDGE)


def test_judge_alone_is_enough():
    assert scores.check([], has_judge=True) == (Metric.JUDGE,)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ("exact_match", "is not a list of names"),
        (None, "is not a list of names"),
        (["bleu", "rouge"], r"metrics\[1\]: 'rouge' can't be asked for; the metrics are exact_mat"),
        (["judge"], r"metrics\[0\]: 'judge' can't be asked for: give a judge"),
        (["human"], r"metrics\[0\]: 'human' can't be asked for: it takes a task of its own"),
        ([["bleu"]], r"metrics\[0\]"),
        ([], "metrics: is empty, and there is no judge"),
    ],
    ids=["text", "nothing", "unknown", "judge", "human", "list in a list", "empty"],
)
def test_metric_that_asking_does_not_give_is_named(metrics, words):
    with pytest.raises(InvalidMetric, match=words):
        scores.check(metrics)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ({"chosen_options": ["so-so"], "params_input": {}}, 0.5),
        ({"chosen_options": ["bad"], "params_input": None}, 0.0),
        ({"chosen_options": ["good"], "params_input": {"score": 0.7}}, 0.7),
        ({"chosen_options": ["good"], "params_input": {"score": 0}}, 0.0),
        ({"chosen_options": ["good"], "params_input": {"score": None, "words": "ok"}}, 1.0),
    ],
    ids=["option", "no form", "number in the form", "zero in the form", "form not filled in"],
)
def test_human_scores_by_the_form_or_by_the_option(answer, score):
    assert scores.of_human(answer, WORTH) == score


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"chosen_options": ["great"]}, "not filled in.*'great' has no worth; these have: good"),
        ({"chosen_options": []}, "0 were chosen"),
        ({"chosen_options": ["good", "bad"]}, "2 were chosen"),
        ({"chosen_options": ["good"], "params_input": {"score": 7}}, "score: 7 is not from"),
        ({"chosen_options": ["good"], "params_input": {"score": "0.7"}}, "is not a number"),
        ({"chosen_options": ["good"], "params_input": {"score": True}}, "is not a number"),
        ({"chosen_options": ["good"], "params_input": {"score": math.nan}}, "is not from 0 to 1"),
    ],
    ids=["unknown", "none", "two", "out of range", "text", "truth", "no number"],
)  # fmt: skip
def test_human_answer_that_is_no_score_is_named(answer, words):
    with pytest.raises(InvalidGrade, match=words):
        scores.of_human(answer, WORTH)


def test_worth_out_of_range_is_named():
    with pytest.raises(InvalidGrade, match=r"options\['good'\]: 10 is not from 0 to 1"):
        scores.of_human({"chosen_options": ["good"]}, {"good": 10})


def test_number_may_stand_in_another_field():
    answer = {"chosen_options": ["good"], "params_input": {"fluency": 0.25}}
    assert scores.of_human(answer, WORTH, field="fluency") == 0.25


@pytest.mark.parametrize(
    ("metric", "words"),
    [(Metric.BLEU, "0 to 100"), (Metric.PERPLEXITY, "1 and more")],
    ids=str,
)
def test_range_reads_as_words(metric, words):
    assert str(scores.RANGES[metric]) == words
