"""JSON of any depth is read, and what is too deep for every reader is cut off."""

import json

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_api import nesting

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def deep(num_levels, inner="1"):
    return '{"a":' * num_levels + inner + "}" * num_levels


def num_levels(value):
    found = 0
    while isinstance(value, dict | list):
        found += 1
        value = value["a"] if isinstance(value, dict) else value[0]
    return found


@given(JSON)
def test_what_is_not_deep_is_read_as_it_is(value):
    text = json.dumps(value)
    assert nesting.loads(text) == nesting.loads(text.encode()) == value
    assert json.loads(nesting.cut(text.encode())) == value


@given(JSON, st.integers(1, 4))
def test_cut_text_is_json_of_at_most_so_many_levels(value, levels):
    def depth(part):
        inner = part.values() if isinstance(part, dict) else part
        is_outer = isinstance(part, dict | list)
        return 1 + max(map(depth, inner), default=0) if is_outer else 0

    assert depth(json.loads(nesting.cut(json.dumps(value).encode(), levels))) <= levels


@pytest.mark.parametrize(
    ("levels", "kept"), [(99, 99), (150, 150), (250, 99), (900, 99), (9_990, 99)]
)
def test_whatever_the_api_server_takes_is_read(levels, kept):
    found = nesting.loads(f'{{"deep": {deep(levels)}, "beside": [1]}}')
    assert found["beside"] == [1]
    assert num_levels(found["deep"]) == kept


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_marks_in_texts_are_no_levels(opening, closing):
    words = '}]\\"{[' * 300
    deep_part = opening * 300 + "1" + closing * 300
    found = nesting.loads(f'{{"words": {json.dumps(words)}, "deep": {deep_part}}}')
    assert found["words"] == words


LONG = "9" * 5_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(rb'{"a": "\ud800"}', {"a": "\ufffd"}, id="half-a-surrogate-pair"),
        pytest.param(rb'{"\udc00b": 1}', {"\ufffdb": 1}, id="in-a-key"),
        pytest.param(rb'["\ud83d\ude00", "\ud800"]', ["\U0001f600", "\ufffd"], id="beside-a-pair"),
        pytest.param(b'{"a": "\xff"}', {"a": "\ufffd"}, id="no-text"),
        pytest.param(f"[{LONG}, -{LONG}, 12]".encode(), [None, None, 12], id="long-number"),
    ],
)
def test_what_is_no_unicode_or_too_long_can_be_written_again(text, value):
    found = nesting.loads(text)
    assert found == nesting.loads(text.decode(errors="replace")) == value
    assert pydantic_core.from_json(pydantic_core.to_json(found)) == value


@pytest.mark.parametrize("end", ['"}', '"', "", "\\"], ids=["whole", "object", "text", "escape"])
def test_many_escapes_are_looked_at_once(end):
    """At a quarter of a megabyte the square of it would take minutes."""
    text = '{"a": "' + '\\"' * 125_000 + end
    assert nesting.cut(text.encode()) == text.encode()


@pytest.mark.parametrize("text", ["", "{", "]", '{"a": }', deep(300)[:-1], "nothing"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):
        nesting.loads(text)
