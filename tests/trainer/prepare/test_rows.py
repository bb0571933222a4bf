"""Rows in TRL's formats, and the words with which others are refused."""

import json
import re

import pytest

from fairlead_api.finetunejob import DataFormat, Dataset
from fairlead_trainer.prepare import rows
from fairlead_trainer.prepare.rows import RowError, Shape

USER = {"role": "user", "content": "two kilos"}
ASSISTANT = {"role": "assistant", "content": "2000 g"}


@pytest.mark.parametrize(
    ("row", "format_"),
    [
        pytest.param({"text": "x"}, DataFormat.TEXT, id="text"),
        pytest.param({"messages": [USER, ASSISTANT]}, DataFormat.CONVERSATIONAL, id="messages"),
        pytest.param({"prompt": "a", "completion": "b"}, DataFormat.PROMPT_COMPLETION, id="texts"),
        pytest.param(
            {"id": 7, "prompt": [USER], "completion": [ASSISTANT]},
            DataFormat.PROMPT_COMPLETION,
            id="lists-and-more-columns",
        ),
    ],
)
def test_format_is_told_by_the_fields(row, format_):
    assert rows.detect(row) is format_


@pytest.mark.parametrize(
    ("row", "told"),
    [
        pytest.param({"question": "a"}, "fits no format (found question)", id="other-fields"),
        pytest.param({}, "found no fields", id="empty"),
        pytest.param({"text": "a", "messages": []}, "more than one format", id="ambiguous"),
        pytest.param({"chosen": "a", "rejected": "b"}, "preference row", id="preference"),
        pytest.param(["a"], "expected an object, found a list", id="no-object"),
        pytest.param("a", "found a text", id="text"),
        pytest.param(None, "found null", id="null"),
    ],
)
def test_row_without_a_format_is_refused(row, told):
    with pytest.raises(RowError) as caught:
        rows.detect(row)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("row", "format_", "shape", "normal"),
    [
        pytest.param(
            {"text": "x", "id": 1}, DataFormat.TEXT, Shape.TEXT, {"text": "x"}, id="columns-dropped"
        ),
        pytest.param(
            {"prompt": "", "completion": "b"},
            DataFormat.PROMPT_COMPLETION,
            Shape.PROMPT_COMPLETION,
            {"prompt": "", "completion": "b"},
            id="empty-prompt",
        ),
        pytest.param(
            {"prompt": [USER], "completion": [ASSISTANT]},
            DataFormat.PROMPT_COMPLETION,
            Shape.PROMPT_COMPLETION_MESSAGES,
            {"prompt": [USER], "completion": [ASSISTANT]},
            id="prompt-of-messages",
        ),
        pytest.param(
            {"messages": [USER, ASSISTANT | {"name": None}]},
            DataFormat.CONVERSATIONAL,
            Shape.CONVERSATIONAL,
            {"messages": [USER, ASSISTANT]},
            id="parquet-fills-columns-with-null",
        ),
        pytest.param(
            {"messages": [USER, ASSISTANT], "tools": None},
            DataFormat.CONVERSATIONAL,
            Shape.CONVERSATIONAL,
            {"messages": [USER, ASSISTANT]},
            id="no-tools",
        ),
    ],
)
def test_row_has_one_normal_form(row, format_, shape, normal):
    assert rows.normalise(row, format_) == (shape, normal)


@pytest.mark.parametrize(
    ("row", "format_", "told"),
    [
        pytest.param(
            {"text": 1}, DataFormat.TEXT, "text must be a text, found a number", id="type"
        ),
        pytest.param({"text": " "}, DataFormat.TEXT, "text is empty", id="blank"),
        pytest.param({"txt": "a"}, DataFormat.TEXT, "text is missing", id="missing"),
        pytest.param({"text": None}, DataFormat.TEXT, "text is null; a Text row", id="null"),
        pytest.param(
            {"prompt": 1, "completion": None},
            DataFormat.PROMPT_COMPLETION,
            "completion is null; a PromptCompletion row needs prompt and completion",
            id="null-beside-another-fault",
        ),
        pytest.param({"text": "\ud800"}, DataFormat.TEXT, "no Unicode text", id="surrogate"),
        pytest.param(
            {"prompt": "a", "completion": ""},
            DataFormat.PROMPT_COMPLETION,
            "completion is empty",
            id="completion",
        ),
        pytest.param(
            {"prompt": "a", "completion": [ASSISTANT]},
            DataFormat.PROMPT_COMPLETION,
            "both be texts or both lists",
            id="half-and-half",
        ),
        pytest.param(
            {"prompt": [USER], "completion": [USER]},
            DataFormat.PROMPT_COMPLETION,
            "assistant's messages only",
            id="completion-by-the-user",
        ),
        pytest.param(
            {"messages": []}, DataFormat.CONVERSATIONAL, "found nothing", id="no-messages"
        ),
        pytest.param(
            {"messages": [USER]},
            DataFormat.CONVERSATIONAL,
            "end with the assistant",
            id="no-answer",
        ),
        pytest.param(
            {"messages": [USER, "hello"]},
            DataFormat.CONVERSATIONAL,
            "messages[1] must be",
            id="message-is-text",
        ),
        pytest.param(
            {"messages": [{"role": "human", "content": "a"}, ASSISTANT]},
            DataFormat.CONVERSATIONAL,
            "messages[0].role must be one of system, user, assistant, found 'human'",
            id="role",
        ),
        pytest.param(
            {"messages": [USER, ASSISTANT | {"tool_calls": [1]}]},
            DataFormat.CONVERSATIONAL,
            "messages[1] has fields that SFT doesn't read: tool_calls",
            id="tools",
        ),
        pytest.param(
            {"messages": [USER, ASSISTANT], "tools": [{"name": "weigh"}]},
            DataFormat.CONVERSATIONAL,
            "tools are not rendered into the prompt",
            id="tools-beside-messages",
        ),
        pytest.param(
            {"prompt": [USER], "completion": [ASSISTANT], "tools": "[{}]"},
            DataFormat.PROMPT_COMPLETION,
            "write them into the system message",
            id="tools-beside-prompt",
        ),
        pytest.param(
            {"messages": [{"role": "user"}, ASSISTANT]},
            DataFormat.CONVERSATIONAL,
            "messages[0].content must be a text, found null",
            id="no-content",
        ),
    ],
)
def test_row_that_does_not_fit_is_refused_with_what_is_expected(row, format_, told):
    with pytest.raises(RowError) as caught:
        rows.normalise(row, format_)
    assert told in str(caught.value)


def test_field_format_explains_every_shape_by_a_row_that_is_taken():
    explained = Dataset.model_fields["format"].description
    found = re.findall(r"^(\w[\w ]*):\s(\{.*?\})$", explained, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in found] == sorted(shape.value for shape in Shape)
    for name, row in found:
        shape, _ = rows.normalise(json.loads(row), Shape(name).data_format)
        assert shape == name
