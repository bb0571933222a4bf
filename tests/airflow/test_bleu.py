"""BLEU is what sacrebleu 2.6.0 gives (effective_order=True) and never divides by 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_airflow import bleu

GUIDE = (
    "It is a guide to action which ensures that the military always obeys the commands of the"
    " party.",
    "It is a guide to action that ensures that the military will forever heed Party commands.",
)
SIGNS = (
    'He said: "3.5-4 km/h, & more" (sic)...\nend-\nless &quot;q&quot; &lt;b&gt; 10,000',
    'He said: "3.5-4 km/h, and more" (sic)...\nendless "q" <b> 10,000',
)
BRIEF = [
    ("the cat sat on", "the cat sat on the mat with a hat"),
    ("a dog", "a dog ran away from home"),
]


@pytest.mark.parametrize(
    ("pairs", "score"),
    [
        ([GUIDE], 39.670883),
        ([SIGNS], 90.251398),
        (BRIEF, 22.313016),
        ([("the cat is on a mat now", "the cat sat on the mat now today")], 17.026117),
        ([("Größe: 5 µm – ja, \u00a0gut", "Größe: 5 µm – ja, gut")], 100.0),
        ([("the the the the the the the", "the cat is on the mat")], 7.80985),
        ([("7 l", "7 l"), ("3.5 kg", "3.5 kg")], 100.0),
        ([("7 l", "7 l"), ("3.5 kg", "4 kg")], 61.237244),
        ([("a b", "c d")], 0.0),
        ([("", "c d")], 0.0),
        ([], 0.0),
    ],
    ids=[
        "words", "signs", "brevity penalty", "no four in a row", "not ASCII", "clipped counts",
        "short and right", "short and half right", "no match", "nothing said", "no pair",
    ],
)  # fmt: skip
def test_score_is_sacrebleus(pairs, score):
    assert bleu.corpus(pairs) == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3.5 kg, please.", ["3.5", "kg", ",", "please", "."]),
        ("1,000 a,b .5", ["1,000", "a", ",", "b", ".", "5"]),
        ("10-12 well-known", ["10", "-", "12", "well-known"]),
        ("&lt;b&gt; &amp; &quot;", ["<", "b", ">", "&", '"']),
        ("half-\nway\ndown <skipped>", ["halfway", "down"]),
        ("it's (so) a/b", ["it's", "(", "so", ")", "a", "/", "b"]),
        (" \n ", []),
    ],
    ids=["decimals", "thousands", "dashes", "entities", "line ends", "signs", "blanks"],
)
def test_words_are_those_of_13a(text, words):
    assert bleu.tokenize(text) == words


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_score_lies_between_0_and_100_whatever_is_said(pairs):
    assert 0 <= bleu.corpus(pairs) <= 100 + 1e-9


@given(st.lists(st.text(alphabet="ab 1.-", min_size=1), min_size=1, max_size=4))
def test_what_was_expected_scores_100_and_what_has_no_words_0(texts):
    score = bleu.corpus((text, text) for text in texts)
    has_words = any(bleu.tokenize(text) for text in texts)
    assert score == pytest.approx(100 if has_words else 0)
