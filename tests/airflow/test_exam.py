"""An exam is read whole or refused by its lines; it is drawn alike each time."""

import io
import json

import pytest

from fairlead_airflow import exam, jsonl
from fairlead_airflow.exam import InvalidExam, Question

USER = {"role": "user", "content": "7 litres"}
SYSTEM = {"role": "system", "content": "Be short."}
ANSWER = {"role": "assistant", "content": "7 l"}
PLAIN = {"prompt": "7 litres", "completion": " 7 l"}


def text(*rows):
    return "\n".join(json.dumps(row) for row in rows)


@pytest.mark.parametrize(
    ("row", "asked", "expected"),
    [
        (PLAIN, {"prompt": "7 litres"}, " 7 l"),
        ({"messages": [USER, ANSWER]}, {"messages": [USER]}, "7 l"),
        ({"prompt": [SYSTEM, USER], "completion": [ANSWER]}, {"messages": [SYSTEM, USER]}, "7 l"),
        (PLAIN | {"id": 3, "source": None}, {"prompt": "7 litres"}, " 7 l"),
        ({"messages": [USER, ANSWER, USER, ANSWER]}, {"messages": [USER, ANSWER, USER]}, "7 l"),
    ],
    ids=["texts", "messages", "lists of messages", "other fields", "more turns"],
)
def test_row_of_each_form_is_a_question(tmp_path, row, asked, expected):
    assert exam.load(text(row), tmp_path) == (Question(1, asked, expected),)


def test_questions_come_from_text_rows_and_a_file_by_either_path(tmp_path):
    wanted = text(PLAIN, {"messages": [USER, ANSWER]})
    (tmp_path / "exam.jsonl").write_text(f"\ufeff{wanted}\n\n")
    by_text = exam.load(f"\n{wanted}", tmp_path)
    assert [each.line for each in by_text] == [2, 3]
    by_file = exam.load("exam.jsonl", tmp_path)
    assert [each.line for each in by_file] == [1, 2]
    assert exam.load(str(tmp_path / "exam.jsonl"), tmp_path.parent) == by_file
    by_rows = exam.load([PLAIN, {"messages": [USER, ANSWER]}], tmp_path)
    assert by_rows == by_file
    assert exam.digest(by_text) == exam.digest(by_file) == exam.digest(by_rows)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"prompt": ', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("3", r"is a number; expected \{"),
        ("{}", "found no field; expected"),
        ({"prompt": "a"}, "found prompt; expected"),
        ({"text": "a"}, "found text; expected"),
        ({"messages": [USER, ANSWER], "prompt": "a"}, "found messages, prompt; expected"),
        (PLAIN | {"completion": " "}, "completion: is empty"),
        (PLAIN | {"prompt": ""}, "prompt: is empty"),
        (PLAIN | {"completion": 7}, "prompt and completion must both be texts"),
        (PLAIN | {"completion": [ANSWER]}, "prompt and completion must both be texts"),
        (PLAIN | {"prompt": "\ud800"}, "prompt: holds half a character"),
        ({"prompt": [USER], "completion": [ANSWER, ANSWER]}, "must be one message of the assist"),
        ({"prompt": [USER], "completion": [USER]}, "must be one message of the assistant"),
        ({"prompt": [USER, ANSWER], "completion": [ANSWER]}, "prompt: the user's message before"),
        ({"messages": [USER]}, "messages: must end with the assistant's"),
        ({"messages": [ANSWER]}, "messages: the user's message before the answer is missing"),
        ({"messages": "hello"}, "messages: must be a list of messages, it is text"),
        ({"messages": []}, "messages: must be a list of messages, it is a list"),
        ({"messages": [USER, None]}, r"messages\[1\]: must be a message, it is null"),
        ({"messages": [USER | {"role": "tool"}, ANSWER]}, r"messages\[0\].role: must be one of"),
        ({"messages": [USER | {"content": True}, ANSWER]}, r"\[0\].content: must be text, it is t"),
    ],
    ids=[
        "cut", "nested", "number", "no field", "no completion", "text only", "two forms",
        "empty completion", "empty prompt", "number as completion", "mixed", "half a character",
        "two answers", "answer of the user", "answer before the answer", "no answer", "no question",
        "text as messages", "no message", "null as message", "unknown role", "truth as content",
    ],
)  # fmt: skip
def test_broken_row_is_named_by_its_line(tmp_path, row, words):
    broken = row if isinstance(row, str) else json.dumps(row)
    (tmp_path / "exam.jsonl").write_text(f"{text(PLAIN)}\n\n{broken}\n")
    with pytest.raises(InvalidExam, match=rf"exam\.jsonl, line 3: .*{words}"):
        exam.load("exam.jsonl", tmp_path)


def test_bytes_that_are_no_text_are_named_by_their_line():
    stream = io.BytesIO(b'{"prompt": "a", "completion": "\xff"}')
    with pytest.raises(InvalidExam, match=r"line 1: is not UTF-8 \(byte 32\)"):
        exam.parse(jsonl.lines(stream))


def test_line_without_end_is_named():
    with pytest.raises(InvalidExam, match="line 1: is longer than 20 bytes"):
        exam.parse(jsonl.lines(io.BytesIO(text(PLAIN).encode()), max_bytes=20))


def test_all_broken_lines_are_named_up_to_a_bound(tmp_path):
    with pytest.raises(InvalidExam) as refused:
        exam.load(text(*[{"prompt": n} for n in range(13)]), tmp_path)
    lines = str(refused.value).split("\n")
    assert [line.split(":")[1] for line in lines[:3]] == [" line 1", " line 2", " line 3"]
    assert (len(lines), lines[-1]) == (11, "and 3 more")


def test_row_of_a_list_is_named_by_its_number(tmp_path):
    with pytest.raises(InvalidExam, match=r"^questions: row 2: is null"):
        exam.load([PLAIN, None], tmp_path)


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        ("none.jsonl", r"none\.jsonl can't be read: .*No such file"),
        ("no\0ne.jsonl", "can't be read: embedded null byte"),
        (".", "can't be read: .*Is a directory"),
        ('[{"prompt": "a", "completion": "b"}]', "questions: line 1: is a list; expected"),
        ("no rows\nof JSON", "questions: line 1: is no JSON"),
        ("", "must be a path, JSONL text or a list"),
        ("empty.jsonl", r"empty\.jsonl: there is no row"),
        ([], "must be a path, JSONL text or a list"),
        (None, "must be a path, JSONL text or a list"),
        (PLAIN, "must be a path, JSONL text or a list"),
    ],
    ids=[
        "no file",
        "no path",
        "folder",
        "JSON list",
        "other text",
        "no text",
        "empty file",
        "no rows",
        "nothing",
        "one row",
    ],
)
def test_exam_that_is_not_there_is_named(tmp_path, questions, words):
    (tmp_path / "empty.jsonl").write_text("\n \n")
    with pytest.raises(InvalidExam, match=words):
        exam.load(questions, tmp_path)


@pytest.fixture
def beside(tmp_path):
    """A DAG's folder with an exam in it, beside a file that is none of its readers' business."""
    (tmp_path / "secret.jsonl").write_text('{"password": "a"}')
    folder = tmp_path / "dags"
    (folder / "..data").mkdir(parents=True)  # as in a volume of a ConfigMap
    (folder / "..data" / "exam.jsonl").write_text(text(PLAIN))
    (folder / "exam.jsonl").symlink_to("..data/exam.jsonl")
    (folder / "leads-out.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (folder / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(folder)
    return folder


def test_path_of_a_confined_exam_leads_below_the_folder(beside, tmp_path):
    wanted = exam.load(text(PLAIN), beside)
    assert exam.load("exam.jsonl", beside, confined=True) == wanted
    assert exam.load("exam.jsonl", tmp_path / "link", confined=True) == wanted
    assert exam.load(text(PLAIN), beside, confined=True) == wanted


@pytest.mark.parametrize(
    "path",
    ["{folder}/exam.jsonl", "../secret.jsonl", "..data/../exam.jsonl", "leads-out.jsonl", "loop"],
    ids=["absolute", "above", "up and down", "link", "loop of links"],
)
def test_confined_exam_is_read_from_nowhere_else(beside, path):
    with pytest.raises(InvalidExam, match="^questions: ") as refused:
        exam.load(path.format(folder=beside), beside, confined=True)
    assert "password" not in str(refused.value)


def drawn(count, at_most, seed):
    rows = [Question(n, {"prompt": str(n)}, "a") for n in range(count)]
    return [each.line for each in exam.draw(rows, at_most, seed)]


def test_draw_is_the_same_for_the_same_seed_and_keeps_the_order():
    first = drawn(1000, 50, seed=7)
    assert first == drawn(1000, 50, seed=7) == sorted(set(first))
    assert first != drawn(1000, 50, seed=8)
    assert len(first) == 50


@pytest.mark.parametrize("at_most", [None, 5, 6])
def test_draw_of_all_takes_all(at_most):
    assert drawn(5, at_most, seed=1) == [0, 1, 2, 3, 4]


def test_digest_tells_questions_answers_and_order():
    a, b = Question(1, {"prompt": "a"}, "x"), Question(2, {"prompt": "b"}, "x")
    different = [[a], [b], [a, b], [b, a], [Question(1, {"prompt": "a"}, "y")]]
    assert len({exam.digest(each) for each in different}) == len(different)
    assert exam.digest([a]) == exam.digest([Question(9, {"prompt": "a"}, "x")])
    assert exam.digest([a]).startswith("sha256:")


def test_question_reads_as_one_text():
    assert Question(1, {"prompt": "7 litres"}, "7 l").text == "7 litres"
    chat = Question(1, {"messages": [SYSTEM, USER]}, "7 l")
    assert (chat.text, chat.is_chat) == ("system: Be short.\nuser: 7 litres", True)
