"""Rows become prompts, or faults that say line and reason; no row stops the others."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_airflow import jsonl, prompts
from fairlead_airflow.prompts import Counts, Fault, Prompt, Reason, Rules, TooManyBroken

RULES = Rules()


def rows(*given):
    """Lines of a file, from rows or from the bytes of lines."""
    return b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in given
    )


def read(data, rules=RULES, max_bytes=jsonl.MAX_LINE_BYTES):
    return list(prompts.read(jsonl.lines(io.BytesIO(data), max_bytes), rules))


def message(content="How much is 7 lb in kg?", role="user"):
    return {"role": role, "content": content}


def test_rows_become_prompts_with_their_lines():
    chat = [message("You are short.", "system"), message()]
    found = read(rows({"id": "a", "prompt": "one"}, {"id": 7, "messages": chat}))
    assert found == [Prompt("a", 1, {"prompt": "one"}), Prompt("7", 2, {"messages": chat})]
    assert found[0].text == "one"
    assert json.loads(found[1].text) == chat


def test_prepared_row_is_read_back():
    for prompt in read(rows({"id": "a", "prompt": "one"}, {"messages": [message()]})):
        assert prompts.of_record(json.loads(json.dumps(prompt.record))) == prompt


def test_row_without_id_is_named_by_its_prompt_wherever_it_stands():
    first, second = read(rows({"prompt": "one"}, {"prompt": "two"}))
    (again,) = read(rows({"prompt": " one\n", "id": None}))
    assert first.id == again.id != second.id


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  one \n", "one"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("Gro\u0308\u00dfe", "Größe"),
        ("a\tb", "a\tb"),
    ],
    ids=["blanks around", "line ends", "composed characters", "blanks within"],
)
def test_text_is_brought_to_one_form(text, kept):
    (found,) = read(rows({"prompt": text}))
    assert found.asked == {"prompt": kept}


@pytest.mark.parametrize(
    ("row", "reason", "words"),
    [
        (b"\xff\xfe{", Reason.NOT_TEXT, "no UTF-8 at byte 1"),
        (b"{prompt: one}", Reason.NOT_JSON, "property name"),
        (b'{"prompt": "one"', Reason.NOT_JSON, "delimiter"),
        (b"[" * 100_000, Reason.NOT_JSON, "recursion"),
        (b'{"id": ' + b"9" * 5000 + b"}", Reason.NOT_JSON, "digits"),
        ([1], Reason.NOT_AN_OBJECT, "a list"),
        (b'"one"', Reason.NOT_AN_OBJECT, "text"),
        (b"1.5", Reason.NOT_AN_OBJECT, "a number"),
        (b"null", Reason.NOT_AN_OBJECT, "null"),
        ({"id": True, "prompt": "a"}, Reason.BAD_ID, "true or false"),
        ({"id": 1.5, "prompt": "a"}, Reason.BAD_ID, "a number"),
        ({"id": " ", "prompt": "a"}, Reason.BAD_ID, "1 to 200"),
        ({"id": "a\nb", "prompt": "a"}, Reason.BAD_ID, "printable"),
        ({"id": "a" * 201, "prompt": "a"}, Reason.BAD_ID, "1 to 200"),
        ({"promt": "one"}, Reason.BAD_PROMPT, "its fields: promt"),
        ({}, Reason.BAD_PROMPT, "its fields: none"),
        ({"prompt": "a", "messages": [message()]}, Reason.BAD_PROMPT, "either"),
        ({"prompt": 7}, Reason.BAD_PROMPT, "prompt: must be text, it is a number"),
        ({"prompt": ["a"]}, Reason.BAD_PROMPT, "it is a list"),
        ({"messages": {}}, Reason.BAD_PROMPT, "messages: must be a list"),
        ({"messages": []}, Reason.BAD_PROMPT, "messages: must be a list"),
        ({"messages": ["a"]}, Reason.BAD_PROMPT, r"messages\[0\]: is text"),
        ({"messages": [message(role="robot")]}, Reason.BAD_PROMPT, r"messages\[0\].role: must be"),
        ({"messages": [message(content=None)]}, Reason.BAD_PROMPT, r"\[0\].content: .* null"),
        ({"messages": [message(content=[])]}, Reason.BAD_PROMPT, r"\[0\].content: .* a list"),
        ({"messages": [message(role="assistant")]}, Reason.BAD_PROMPT, "the user's"),
        ({"prompt": " \n"}, Reason.EMPTY, "prompt: is empty"),
        ({"messages": [message(""), message()]}, Reason.EMPTY, r"messages\[0\].content"),
        ({"prompt": "a\0b"}, Reason.NOT_TEXT, "NUL"),
        ({"prompt": "a\ud800"}, Reason.NOT_TEXT, "half a character"),
        ({"prompt": "a" * 101}, Reason.TOO_LONG, "101 characters, more than 100"),
        ({"messages": [message("a" * 60), message("b" * 60)]}, Reason.TOO_LONG, "120 characters"),
    ],
)
def test_broken_row_is_named_and_the_next_one_read(row, reason, words):
    before, broken, after = read(
        rows({"prompt": "before"}, row, {"prompt": "after"}), Rules(max_chars=100)
    )
    assert isinstance(before, Prompt)
    assert isinstance(after, Prompt)
    assert (broken.line, broken.reason) == (2, reason)
    with pytest.raises(ValueError, match=words):
        raise ValueError(broken.message)
    assert json.loads(json.dumps(broken.record))["reason"] == reason.value


def test_fault_tells_the_id_where_there_is_one():
    (broken,) = read(rows({"id": "a", "prompt": ""}))
    assert broken.record == {
        "line": 1, "id": "a", "reason": "Empty", "message": "prompt: is empty",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"id": "a", "prompt": "two"}, Reason.DUPLICATE_ID),
        ({"id": "a", "prompt": "one"}, Reason.DUPLICATE_PROMPT),
        ({"id": "b", "prompt": "one "}, Reason.DUPLICATE_PROMPT),
        ({"prompt": "one"}, Reason.DUPLICATE_PROMPT),
        ({"id": "b", "prompt": "two"}, None),
        ({"id": "b", "messages": [message("one")]}, None),
    ],
    ids=["id", "both", "prompt", "prompt without id", "neither", "as a message"],
)
def test_second_of_two_alike_is_left_out(second, reason):
    _, found = read(rows({"id": "a", "prompt": "one"}, second))
    assert (found.reason if isinstance(found, Fault) else None) == reason
    if reason:
        assert "stands in line 1 already" in found.message


def test_number_and_text_are_one_id():
    _, found = read(rows({"id": 7, "prompt": "one"}, {"id": "7", "prompt": "two"}))
    assert found.reason is Reason.DUPLICATE_ID


def test_row_that_is_left_out_hides_no_later_one():
    given = rows(
        {"id": "a", "prompt": "one"}, {"id": "a", "prompt": "two"}, {"id": "b", "prompt": "two"}
    )
    assert [type(found) for found in read(given)] == [Prompt, Fault, Prompt]


def test_prompts_of_several_ids_are_all_asked_where_that_is_wanted():
    given = rows({"id": "a", "prompt": "one"}, {"id": "b", "prompt": "one"}, {"prompt": "one"})
    again = rows({"id": "a", "prompt": "one"}, {"prompt": "two"}, {"prompt": "two"})
    rules = Rules(is_unique=False)
    assert [type(found) for found in read(given, rules)] == [Prompt, Prompt, Prompt]
    assert read(given + rows({"id": "a", "prompt": "one"}), rules)[3].line == 4
    assert read(again, rules)[2].reason is Reason.DUPLICATE_PROMPT


def test_lines_are_counted_as_editors_do():
    data = b'\xef\xbb\xbf{"prompt": "one"}\r\n\n  \n{"prompt": "two"}'
    assert [found.line for found in read(data)] == [1, 4]


def test_line_without_end_does_not_fill_the_memory():
    data = rows({"prompt": "a" * 5000}, {"prompt": "two"})
    broken, after = read(data, max_bytes=100)
    assert (broken.reason, broken.message) == (
        Reason.TOO_LONG,
        "the line is longer than 100 bytes",
    )
    assert (after.line, after.text) == (2, "two")


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_stop_the_reading(lines):
    data = b"\n".join([*lines, b'{"prompt": "last"}'])
    *_, last = read(data)
    assert isinstance(last, Prompt)


def counted(*given):
    counts = Counts()
    for found in read(rows(*given)):
        counts.add(found)
    return counts


def test_counts_tell_rows_and_reasons():
    counts = counted({"prompt": "one"}, {"prompt": "one"}, {"prompt": ""}, b"{", b"{")
    assert (counts.num_rows, counts.num_prompts, counts.num_broken) == (5, 1, 3)
    assert counts.reasons == {"NotJSON": 2, "Empty": 1, "DuplicatePrompt": 1}
    assert counts.causes[0].startswith("NotJSON 2 (first in line 4: ")


GOOD = [{"prompt": f"prompt {n}"} for n in range(5)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "the prompts file has no row"),
        ([b"{"], r"1 of 1 rows are broken.*NotJSON 1 \(first in line 1"),
        ([*GOOD, *[b"{"] * 6], r"6 of 11 rows are broken, more than 50%: NotJSON 6 .*line 6"),
    ],
    ids=["no row", "all broken", "most broken"],
)
def test_file_that_is_not_what_it_should_be_fails_with_its_reasons(given, words):
    with pytest.raises(TooManyBroken, match=words):
        counted(*given).judge(0.5)


@pytest.mark.parametrize(
    "given",
    [GOOD, [*GOOD, *[b"{"] * 5], [GOOD[0]] * 9],
    ids=["good", "half broken", "duplicates"],
)
def test_file_with_enough_prompts_is_worked_with(given):
    counted(*given).judge(0.5)


def test_one_broken_row_fails_where_none_is_allowed():
    counts = counted(*GOOD, b"{")
    with pytest.raises(TooManyBroken, match="1 of 6 rows are broken, more than 0%"):
        counts.judge(0)
    with pytest.raises(TooManyBroken, match="none of 2 rows is a prompt"):
        counted(b"{", b"[]").judge(1)
