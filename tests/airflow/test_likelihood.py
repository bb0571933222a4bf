"""What is asked about an expected answer's likelihood, and what a server must tell."""

import math

import pytest

from fairlead_airflow import likelihood
from fairlead_airflow.exam import Question
from fairlead_airflow.fields import InvalidField
from fairlead_airflow.likelihood import NoLogprobs

USER = {"role": "user", "content": "7 litres"}
TEXT = Question(1, {"prompt": "7 litres"}, " 7 l")
CHAT = Question(1, {"messages": [USER]}, "7 l")


def told(ids, **changes):
    """vLLM's answer to a completion."""
    logprobs = [None, *({str(each): {"logprob": -each / 10}} for each in ids[1:])]
    return {"choices": [{"prompt_token_ids": ids, "prompt_logprobs": logprobs} | changes]}


def test_text_is_asked_as_text():
    asked = likelihood.answering(TEXT, "units", 64, {"stop": ["\n"]}, tells_ids=True)
    assert asked.path == "/v1/completions"
    assert asked.body == {
        "model": "units", "prompt": "7 litres", "temperature": 0, "max_tokens": 64,
        "stop": ["\n"], "return_token_ids": True,
    }  # fmt: skip


def test_chat_is_scored_with_its_last_message_open():
    asked = likelihood.scoring(CHAT, "units", {"stop": ["\n"], "add_special_tokens": True})
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "units", "messages": [USER, {"role": "assistant", "content": "7 l"}],
        "temperature": 0, "max_tokens": 1, "return_token_ids": True, "prompt_logprobs": 0,
        "add_special_tokens": True, "add_generation_prompt": False, "continue_final_message": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "whole", "logprobs"),
    [
        ([1, 2], [1, 2, 3, 4], [-0.3, -0.4]),
        ([1, 2, 9], [1, 2, 3, 4], [-0.3, -0.4]),
        ([1, 2, 8, 9], [1, 7, 3], [-0.7, -0.3]),
        ([9], [7, 3], [-0.3]),
        ([1, 2], [1, 2], []),
        ([1, 2, 3], [1, 2], []),
    ],
    ids=[
        "answer after question", "token across the border", "question of more tokens than both",
        "nothing shared", "answer without a token", "answer that shortens the question",
    ],
)  # fmt: skip
def test_answers_tokens_begin_where_both_part(asked, whole, logprobs):
    assert likelihood.of_answer(asked, told(whole)) == logprobs


def test_chats_tokens_stand_in_the_document():
    document = told([1, 2, 3])["choices"][0] | {"choices": [{"message": {"content": "x"}}]}
    assert likelihood.token_ids(document) == [1, 2, 3]
    assert likelihood.of_answer([1, 2], document) == [-0.3]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"text": "x"}]},
        told([1, 2], prompt_token_ids=[]),
        told([1, 2], prompt_logprobs=None),
        told([1, 2], prompt_logprobs=[None]),
        told([1, 2], prompt_logprobs=[None, None]),
        told([1, 2], prompt_logprobs=[None, {"9": {"logprob": -1}}]),
        told([1, 2], prompt_logprobs=[None, {"2": {"logprob": None}}]),
        told([1, 2], prompt_logprobs=[None, {"2": {"logprob": math.nan}}]),
        told([1, 2], prompt_logprobs=[None, {"2": -1}]),
    ],
    ids=[
        "nothing", "no choice", "empty choice", "text only", "no ids", "no logprobs",
        "too few", "hole", "another token's", "null", "no number", "other form",
    ],
)  # fmt: skip
def test_server_that_does_not_tell_is_named(document):
    with pytest.raises(NoLogprobs, match="the server tells no"):
        likelihood.of_answer([1], document)


@pytest.mark.parametrize(
    "name", ["model", "max_tokens", "temperature", "prompt_logprobs", "return_token_ids", "echo"]
)
def test_what_is_set_here_is_refused_as_a_parameter(name):
    likelihood.check_parameters({"stop": []})
    with pytest.raises(InvalidField, match=f"parameters: {name} can't be set here"):
        likelihood.check_parameters({name: 1, "stop": []})
