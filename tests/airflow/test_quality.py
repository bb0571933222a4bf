"""Answers are accepted or rejected, each rejected one with its reason."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_airflow import jsonl, quality
from fairlead_airflow.quality import Accepted, Counts, InvalidRules, Reason, Rules, TooFewAccepted

SENTENCE = "The crate of apples weighs three and a half kilograms. "
PROSE = (
    "A pound is a little less than half a kilogram, so seven of them make about three. To be exact,"
    " multiply by 0.45359237 and round where the task asks for it; here two digits are enough."
)


def sift(*records, **rules):
    data = b"".join(
        record if isinstance(record, bytes) else jsonl.encode(record) for record in records
    )
    return list(quality.sift(jsonl.lines(io.BytesIO(data)), Rules(**rules)))


def answer(text, finish_reason="stop", id="a"):
    return {"id": id, "answer": text, "finish_reason": finish_reason}


def reason(found):
    return None if isinstance(found, Accepted) else found.reason


@pytest.mark.parametrize(
    ("record", "rules", "wanted"),
    [
        (answer("3.5 kg"), {}, None),
        (answer(PROSE), {}, None),
        (answer(" \n"), {}, Reason.EMPTY),
        (answer("a\0b"), {}, Reason.NOT_TEXT),
        (answer("3.5 k", "length"), {}, Reason.CUT_OFF),
        (answer("3.5 k", "length"), {"accepts_cut_off": True}, None),
        (answer(" 3 "), {"min_chars": 2}, Reason.TOO_SHORT),
        (answer("3 kg"), {"max_chars": 4}, None),
        (answer("3.5 kg"), {"max_chars": 4}, Reason.TOO_LONG),
        (answer("the " * 100), {}, Reason.REPETITIVE),
        (answer(SENTENCE * 5), {}, Reason.REPETITIVE),
        (answer(SENTENCE * 5), {"max_repetition": 0.9}, None),
        (answer(SENTENCE), {"max_repetition": 0.01}, None),
        (answer("重さは三キログラムです。" * 20), {}, Reason.REPETITIVE),
        (answer('{"kg": 3.5}'), {"format": "json"}, None),
        (answer(' [1, "a"]\n'), {"format": "json"}, None),
        (answer("I can't say."), {"format": "json"}, Reason.NOT_JSON),
        (answer('```json\n{"kg": 3.5}\n```'), {"format": "json"}, Reason.NOT_JSON),
        (answer('{"kg": 3.5'), {"format": "json"}, Reason.NOT_JSON),
        (answer("[" * 100_000), {"format": "json"}, Reason.NOT_JSON),
        (answer('{"kg": 1}'), {"format": "json", "required_keys": ("kg",)}, None),
        (answer('{"lb": 1}'), {"format": "json", "required_keys": ("kg",)}, Reason.MISSING_KEYS),
        (answer("[]"), {"format": "json", "required_keys": ("kg",)}, Reason.MISSING_KEYS),
        (b"{\n", {}, Reason.UNREADABLE),
        (b"[]\n", {}, Reason.UNREADABLE),
        (b"\xff\n", {}, Reason.UNREADABLE),
        ({"id": "a"}, {}, Reason.UNREADABLE),
        (answer(7), {}, Reason.UNREADABLE),
    ],
)
def test_answer_is_judged_by_the_rules(record, rules, wanted):
    (found,) = sift(record, **rules)
    assert reason(found) == wanted


def test_answer_that_is_given_twice_counts_once_where_that_is_wanted():
    given_twice = [answer("3 kg", id="a"), answer("3 kg ", id="b"), answer("4 kg", id="c")]
    assert [reason(found) for found in sift(*given_twice)] == [None] * 3
    found = sift(*given_twice, is_unique=True)
    assert [reason(one) for one in found] == [None, Reason.DUPLICATE, None]
    assert "prompt 'a' was answered so already" in found[1].message


def test_rejected_answer_is_kept_with_its_reason():
    rejected, unreadable = sift(answer(""), b"{\n")
    assert rejected.row == {
        "id": "a", "answer": "", "finish_reason": "stop", "reason": "Empty",
        "message": "it says nothing",
    }  # fmt: skip
    assert unreadable.row["line_of_answers"] == 2
    assert json.loads(json.dumps(unreadable.row))["reason"] == "Unreadable"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", 0, 0),
        ("the the the", 0, 0),
        (PROSE, 0, 0),
        (SENTENCE * 2, 0.3, 0.55),
        (SENTENCE * 10, 0.85, 0.95),
        ("a" * 500, 0.99, 1),
    ],
    ids=["nothing", "short", "prose", "twice", "ten times", "one character"],
)
def test_repetition_is_the_share_of_phrases_that_were_there_before(text, least, most):
    assert least <= quality.repetition(text) <= most


@given(st.text())
def test_repetition_is_a_share_of_any_text(text):
    assert 0 <= quality.repetition(text) < 1


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"format": "yaml"}, "format: must be text or json, it is 'yaml'"),
        ({"required_keys": ("kg",)}, "required_keys: only"),
        ({"min_chars": 9, "max_chars": 3}, "max_chars: is less than min_chars, 9"),
        ({"max_repetition": 0}, "max_repetition"),
        ({"max_repetition": 1.1}, "max_repetition"),
    ],
    ids=["format", "keys of text", "bounds", "nothing may repeat", "above 1"],
)
def test_rules_that_mean_nothing_are_refused(rules, words):
    with pytest.raises(InvalidRules, match=words):
        Rules(**rules)


def counted(*records):
    counts = Counts()
    for found in sift(*records):
        counts.add(found)
    return counts


def test_day_with_enough_good_answers_goes_on():
    counted(answer("a"), answer("")).judge(0.5)
    counted(answer("a"), answer(""), answer("")).judge(0)


@pytest.mark.parametrize(
    ("records", "share", "words"),
    [
        ([answer("a"), answer(""), answer(""), answer("b", "length")], 0.5,
         "1 of 4 answers are good, of which 50% are needed: Empty 2, CutOff 1"),
        ([answer("")], 0, "0 of 1 answers are good"),
        ([], 0, "0 of 0 .* there is none"),
    ],
    ids=["too few", "none good", "none at all"],
)  # fmt: skip
def test_day_with_too_few_good_answers_fails_with_the_reasons(records, share, words):
    with pytest.raises(TooFewAccepted, match=words):
        counted(*records).judge(share)
