"""A container's end survives the way through the kubelet, and each has a name."""

import itertools

import pytest

from fairlead_api import termination
from fairlead_api.artifact import Artifact
from fairlead_api.termination import (
    DISRUPTION_CAUSES,
    EXIT_CODES,
    MAX_MESSAGE_BYTES,
    USER_CAUSES,
    Cause,
    Termination,
    TrainingResult,
)

ARTIFACT = Artifact(
    uri="pvc://store/" + "a" * 500,
    digest="sha256:" + "0" * 64,
    size_bytes=1,
    kind="Model",
    base_model="pvc://store/" + "b" * 500,
    dataset_digest="sha256:" + "1" * 64,
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("rows, part-1.jsonl line 7: not JSON", id="short"),
        pytest.param("x" * 50_000, id="long"),
        pytest.param("語" * 50_000, id="three-bytes-a-letter"),
        pytest.param("\x00" * 50_000, id="six-bytes-escaped"),
        pytest.param('"\n' * 1500, id="quotes-and-lines"),
    ],
)
def test_message_fits_and_loses_nothing_but_words(text):
    result = TrainingResult(step=3, world_size=2, checkpoint="c/3")
    end = Termination(cause=Cause.SUCCEEDED, message=text, training=result, artifact=ARTIFACT)
    message = end.to_message()
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    again = termination.read(message)
    assert (again.cause, again.training, again.artifact) == (end.cause, result, ARTIFACT)


def test_long_message_keeps_its_head_and_its_end():
    end = Termination(cause=Cause.CRASHED, message="file.jsonl line 3" + "." * 9000 + "KeyError")
    assert end.message.startswith("file.jsonl line 3")
    assert end.message.endswith("KeyError")
    assert len(end.message) == 1500


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '"x"', "{}", '{"cause": "Nonsense"}', "Error: x"]
)
def test_foreign_text_is_no_termination(text):
    assert termination.read(text) is None


def test_field_of_a_newer_trainer_is_passed_over():
    assert termination.read('{"cause": "Crashed", "aura": "blue"}').cause is Cause.CRASHED


@pytest.mark.parametrize("cause", Cause)
def test_exit_code_alone_tells_the_cause(cause):
    assert termination.of_container({"exitCode": EXIT_CODES[cause]}).cause is cause


def test_exit_codes_differ_and_fit_a_process():
    codes = list(EXIT_CODES.values())
    assert len(set(codes)) == len(codes) == len(Cause)
    assert all(0 <= code < 128 for code in codes)


@pytest.mark.parametrize(
    ("terminated", "cause", "words"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, Cause.OUT_OF_MEMORY, "OOMKilled"),
        ({"exitCode": 137}, Cause.UNKNOWN, "exit code 137"),
        ({"exitCode": 143}, Cause.DISRUPTED, "exit code 143"),
        ({"exitCode": 99, "message": "Traceback"}, Cause.CRASHED, "Traceback"),
        ({"exitCode": 65, "message": "garbled"}, Cause.DATASET_ERROR, "garbled"),
        ({}, Cause.UNKNOWN, "exit code 1"),
    ],
)
def test_end_without_our_message_gets_a_name(terminated, cause, words):
    end = termination.of_container(terminated)
    assert end.cause is cause
    assert words in end.message


def test_our_message_is_believed_before_the_exit_code():
    text = Termination(cause=Cause.DIVERGED, message="loss is NaN at step 4").to_message()
    assert termination.of_container({"exitCode": 1, "message": text}).cause is Cause.DIVERGED


SPECIFIC = [Cause.USER_ERROR, Cause.OUT_OF_MEMORY, Cause.CRASHED, Cause.DISRUPTED, Cause.PEER_LOST]


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations(SPECIFIC, 2)])
def test_more_specific_cause_explains_the_other_whatever_the_order(first, second):
    ends = [Termination(cause=first), Termination(cause=second)]
    assert termination.most_specific(ends).cause is first
    assert termination.most_specific(ends[::-1]).cause is first


@pytest.mark.parametrize("ends", [[], [Termination(cause=Cause.SUCCEEDED)]])
def test_no_bad_end_is_unknown(ends):
    assert termination.most_specific(ends).cause is Cause.UNKNOWN


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.SUCCEEDED])
def test_each_cause_has_one_verdict(cause):
    expected = "user" if cause in USER_CAUSES else "failure"
    expected = "disruption" if cause in DISRUPTION_CAUSES else expected
    assert termination.verdict(cause) == expected
    assert not USER_CAUSES & DISRUPTION_CAUSES
