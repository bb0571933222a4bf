"""Requests are as the API takes them, and each is told from the others."""

import pytest

from fairlead_airflow import completions
from fairlead_airflow.completions import Request

CHAT = [{"role": "user", "content": "How much is 7 lb in kg?"}]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"prompt": "one"}, "/v1/completions"),
        ({"messages": CHAT}, "/v1/chat/completions"),
    ],
    ids=["text", "messages"],
)
def test_prompt_goes_to_the_path_of_its_kind(asked, path):
    found = completions.request(asked, {"model": "units", "max_tokens": 7, "stop": ["."]})
    assert found.path == path
    assert found.body == {"model": "units", "max_tokens": 7, "stop": ["."], **asked}


BODY = {"model": "units", "prompt": "one", "max_tokens": 7}


@pytest.mark.parametrize(
    ("path", "change", "is_same"),
    [
        ("/v1/completions", {}, True),
        ("/v1/completions", {"model": "tens"}, True),
        ("/v1/completions", {"prompt": "two"}, False),
        ("/v1/completions", {"max_tokens": 8}, False),
        ("/v1/completions", {"temperature": 0}, False),
        ("/v1/chat/completions", {}, False),
    ],
    ids=["itself", "name of the model", "prompt", "max_tokens", "a parameter", "path"],
)
def test_digest_tells_what_would_be_answered_otherwise(path, change, is_same):
    one, other = Request("/v1/completions", BODY), Request(path, BODY | change)
    assert (one.digest == other.digest) is is_same


def test_digest_does_not_hang_on_the_order_of_fields():
    assert Request("/a", BODY).digest == Request("/a", dict(reversed(BODY.items()))).digest


def test_whole_answer_is_kept_in_few_fields():
    found = completions.read(
        {
            "id": "cmpl-1",
            "choices": [{"index": 0, "text": " 3.2 kg", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        }
    )
    assert found == {
        "answer": " 3.2 kg",
        "finish_reason": "stop",
        "prompt_tokens": 9,
        "answer_tokens": 4,
    }


def test_answer_without_a_text_is_shown_in_part_only():
    with pytest.raises(completions.BadAnswer) as bad:
        completions.read({"choices": [], "more": "x" * 10_000})
    assert len(str(bad.value)) < 600


def test_every_own_parameter_at_fault_is_named():
    with pytest.raises(ValueError, match="parameters: model, stream can't be set here"):
        completions.check_parameters({"stream": True, "model": "a", "temperature": 1})
    completions.check_parameters({"temperature": 1, "stop": None})
