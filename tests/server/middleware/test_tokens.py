"""How many tokens a request may ask for, in every way of asking."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_server.middleware import tokens
from fairlead_server.middleware.replies import Refused
from fairlead_server.middleware.routes import PATH_CHAT, PATH_COMPLETIONS

LIMIT = 100


def bounded(body, path=PATH_CHAT, limit=LIMIT, context=512):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return tokens.bounded(content, path, limit, context)


@pytest.mark.parametrize("path", [PATH_CHAT, PATH_COMPLETIONS])
@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 100},
        {"max_tokens": 1},
        {"max_tokens": 0},
        {"max_tokens": 50, "n": 2},
        {"max_tokens": 25, "prompt": ["a", "b"], "n": 2},
        {"max_tokens": 100, "prompt": [1, 2, 3, 4]},
        {"max_tokens": 100, "prompt": "abc"},
        {"max_tokens": 100, "n": None},
    ],
)
def test_what_lies_within_the_limit_passes_byte_for_byte(body, path):
    content = json.dumps(body, indent=3).encode()
    assert bounded(content, path) == content


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (PATH_CHAT, {"max_tokens": 101}, "max_tokens"),
        (PATH_CHAT, {"max_completion_tokens": 101}, "max_completion_tokens"),
        (PATH_CHAT, {"max_completion_tokens": 1, "max_tokens": 101}, "max_tokens"),
        (PATH_CHAT, {"max_tokens": 51, "n": 2}, "max_tokens"),
        (PATH_COMPLETIONS, {"max_tokens": 101}, "max_tokens"),
        (PATH_COMPLETIONS, {"max_tokens": 51, "prompt": ["a", "b"]}, "max_tokens"),
        (PATH_COMPLETIONS, {"max_tokens": 51, "prompt": [[1], [2]]}, "max_tokens"),
        (PATH_COMPLETIONS, {"max_tokens": 51, "prompt_embeds": ["a", "b"]}, "max_tokens"),
        (PATH_COMPLETIONS, {"max_tokens": 34, "prompt": "a", "prompt_embeds": ["b", "c"]},
         "max_tokens"),
        (PATH_COMPLETIONS, {"max_tokens": 26, "prompt": ["a", "b"], "n": 2}, "max_tokens"),
        (PATH_CHAT, {"n": 101}, "n"),
        (PATH_COMPLETIONS, {"prompt": ["a"] * 101}, "n"),
    ],
)  # fmt: skip
def test_what_lies_beyond_is_400_naming_the_field_and_the_limit(path, body, param):
    with pytest.raises(Refused) as caught:
        bounded(body, path)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert "at most 100 tokens" in caught.value.message
    assert "spec.limits.maxTokens" in caught.value.message


@pytest.mark.parametrize("value", ["1000", 1000.0, True, [1], {"a": 1}, 1e400])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
def test_numbers_in_disguise_are_400(field, value):
    with pytest.raises(Refused) as caught:
        bounded({field: value})
    assert (caught.value.status, caught.value.param) == (400, field)
    assert "integer" in caught.value.message


@pytest.mark.parametrize("n", [0, -1, -100])
def test_a_negative_count_cannot_turn_the_product_around(n):
    with pytest.raises(Refused) as caught:
        bounded({"n": n, "max_tokens": 1000})
    assert caught.value.param == "n"


@pytest.mark.parametrize(
    ("path", "body", "limit", "context", "given"),
    [
        (PATH_CHAT, {}, 100, 512, 100),
        (PATH_CHAT, {"max_tokens": None}, 100, 512, 100),
        (PATH_CHAT, {"n": 3}, 100, 512, 33),
        (PATH_CHAT, {}, 1000, 512, 512),
        (PATH_CHAT, {}, 1000, None, 1000),
        (PATH_COMPLETIONS, {}, 15, 512, 15),
        (PATH_COMPLETIONS, {"max_completion_tokens": 5}, 8, 512, 8),
        (PATH_COMPLETIONS, {"prompt": ["a", "b"]}, 20, 512, 10),
        (PATH_COMPLETIONS, {"max_tokens": None}, 100, 512, 100),
        (PATH_COMPLETIONS, {"max_tokens": None, "n": 2}, 2000, 512, 512),
    ],
    ids=[
        "chat", "null", "shared by choices", "within the context", "context unknown",
        "below the default", "a field of the other API", "shared by prompts",
        "a completion's null", "a completion's null within the context",
    ],
)  # fmt: skip
def test_a_request_that_names_no_maximum_gets_the_limit(path, body, limit, context, given):
    rewritten = json.loads(bounded(body | {"model": "é"}, path, limit, context))
    assert rewritten == body | {"model": "é", "max_tokens": given}


def test_a_completion_keeps_its_default_of_16_where_the_limit_allows():
    content = b'{"prompt": "a"}'
    assert bounded(content, PATH_COMPLETIONS, limit=16) == content


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{'a': 1}"],
    ids=["empty", "cut", "bytes", "nested", "python"],
)  # fmt: skip
def test_what_is_not_json_is_400(content):
    with pytest.raises(Refused) as caught:
        bounded(content)
    assert caught.value.status == 400
    assert "not JSON" in caught.value.message


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b'"x"'])
def test_what_is_no_object_is_400(content):
    with pytest.raises(Refused, match="not a JSON object"):
        bounded(content)


@given(
    body=st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.none() | st.integers(-5, 300),
            "max_completion_tokens": st.none() | st.integers(-5, 300),
            "n": st.none() | st.integers(-2, 9),
            "prompt": st.none() | st.just("a") | st.lists(st.just("a"), max_size=9),
        },
    ),
    path=st.sampled_from([PATH_CHAT, PATH_COMPLETIONS]),
    limit=st.integers(1, 200),
)
def test_nothing_that_passes_may_generate_more_than_the_limit(body, path, limit):
    try:
        passed = json.loads(bounded(body, path, limit))
    except Refused:
        return
    each = passed.get("max_tokens")
    if path == PATH_CHAT and passed.get("max_completion_tokens") is not None:
        each = passed["max_completion_tokens"]
    if each is None:
        assert path == PATH_COMPLETIONS
        assert "max_tokens" not in passed  # null is all that the context holds
        each = 16
    prompts = passed.get("prompt")
    num_prompts = len(prompts) if isinstance(prompts, list) and prompts else 1
    assert each * num_prompts * (passed.get("n") or 1) <= limit
