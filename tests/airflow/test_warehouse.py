"""A day's answers stand in the table once and whole, or the table is as before.

The database is SQLite behind common.sql's own hook, made by a connection as Airflow makes it.
"""

import json
import sqlite3
from contextlib import closing

import pytest
from airflow.sdk import BaseHook

from fairlead_airflow import jsonl, warehouse
from fairlead_airflow.warehouse import BadRow, InvalidLoad, RowRefused

DAY = "2026-01-31"
CHECKED = """
CREATE TABLE answers (
  day DATE, service TEXT, id TEXT PRIMARY KEY, line INTEGER, model TEXT, prompt TEXT,
  answer TEXT NOT NULL CHECK (length(answer) < 50), finish_reason TEXT,
  prompt_tokens INTEGER, answer_tokens INTEGER
)
"""
STRICT = """
CREATE TABLE answers (
  day TEXT, service TEXT, id INTEGER, line INTEGER, model TEXT, prompt TEXT, answer TEXT,
  finish_reason TEXT, prompt_tokens INTEGER, answer_tokens INTEGER
) STRICT
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "warehouse.db"


@pytest.fixture
def hook(path, monkeypatch):
    described = json.dumps({"conn_type": "sqlite", "host": str(path)})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", described)
    return BaseHook.get_connection("warehouse").get_hook()


@pytest.fixture
def sql(path):
    def run(statement):
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement).fetchall()

    return run


def record(number, **changes):
    return {
        "id": f"p{number}", "line": number, "service": "team/units", "model": "m@1",
        "prompt": f"prompt {number}", "answer": f"answer {number}", "finish_reason": "stop",
        "prompt_tokens": 2, "answer_tokens": 2,
    } | changes  # fmt: skip


def rows(*records, day=DAY):
    lines = (jsonl.Line(number, jsonl.encode(row)) for number, row in enumerate(records, 1))
    return warehouse.read(lines, day)


def load(hook, *records, day=DAY, table="answers"):
    return warehouse.load(hook, table, day, rows(*records, day=day))


def test_table_is_made_and_filled(hook, sql):
    assert load(hook, record(1), record(2, prompt_tokens=None)) == 2
    assert sql("SELECT * FROM answers ORDER BY line")[1] == (
        DAY, "team/units", "p2", 2, "m@1", "prompt 2", "answer 2", "stop", None, 2,
    )  # fmt: skip


def test_day_that_is_loaded_again_stands_once(hook, sql):
    load(hook, *map(record, range(1, 6)))
    assert load(hook, record(1, answer="new"), record(9)) == 2
    assert sql("SELECT id, answer FROM answers ORDER BY id") == [("p1", "new"), ("p9", "answer 9")]


def test_other_days_and_services_stay(hook, sql):
    load(hook, record(1), day="2026-01-30")
    load(hook, record(1, service="team/tens"))
    load(hook, record(1))
    load(hook, record(2))
    assert sql("SELECT day, service, id FROM answers ORDER BY day, service") == [
        ("2026-01-30", "team/units", "p1"),
        (DAY, "team/tens", "p1"),
        (DAY, "team/units", "p2"),
    ]


def test_many_rows_are_streamed_in_chunks(hook, sql, monkeypatch):
    taken = []

    def streamed():
        for number in range(1, 2_506):
            taken.append(number)
            yield record(number)

    insert = warehouse._Writer._insert

    def watched(writer, chunk):
        assert len(taken) - chunk[0].line < 2 * warehouse.CHUNK_ROWS
        insert(writer, chunk)

    monkeypatch.setattr(warehouse._Writer, "_insert", watched)
    lines = (jsonl.Line(row["line"], jsonl.encode(row)) for row in streamed())
    assert warehouse.load(hook, "answers", DAY, warehouse.read(lines, DAY)) == 2_505
    assert sql("SELECT count(*), count(DISTINCT id) FROM answers") == [(2_505, 2_505)]


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        (CHECKED, {"answer": "x" * 60}, r"line 333 \(id 'p333'\), column answer: CHECK"),
        (CHECKED, {"id": "p7"}, r"line 333 \(id 'p7'\), column id: UNIQUE"),
        (STRICT, {"id": "three"}, r"line 333 \(id 'three'\), column id: cannot store TEXT"),
        (CHECKED, {"prompt_tokens": 2**70}, r"line 333 \(id 'p333'\): .*too large"),
    ],
    ids=["check", "unique", "type mismatch", "number that the driver can't send"],
)
def test_refused_row_is_named_and_the_old_day_stands(hook, sql, table, change, words):
    sql(table)
    sql(f"INSERT INTO answers (day, service, id, answer) VALUES ('{DAY}', 'team/units', 5, 'old')")
    ids = {} if table is CHECKED else {"id": "7"}
    given = [record(number, **ids) for number in range(1, 500)]
    given[332] |= change
    with pytest.raises(RowRefused, match=words):
        load(hook, *given)
    assert sql("SELECT answer FROM answers") == [("old",)]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"answer": None}, r"line 3 \(id 'p3'\): answer is missing"),
        ({"id": None}, r"line 3 \(id None\): id is missing"),
        ({"answer": 7}, r"line 3 \(id 'p3'\): answer must be text, it is 7"),
        ({"answer_tokens": "many"}, r"answer_tokens must be a whole number, it is 'many'"),
        ({"line": True}, r"line must be a whole number, it is True"),
        ({"service": "team/tens"}, r"line 3 .*service is team/tens, line 1 has team/units"),
    ],
    ids=["no answer", "no id", "answer", "tokens", "line", "another service"],
)
def test_row_that_is_none_is_named_and_the_old_day_stands(hook, sql, broken, words):
    load(hook, record(1, answer="old"))
    with pytest.raises(BadRow, match=words):
        load(hook, record(1), record(2), record(3, **broken))
    assert sql("SELECT answer FROM answers") == [("old",)]


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff"], ids=["JSON", "a list", "no text"])
def test_line_that_is_no_row_is_named(line):
    with pytest.raises(BadRow, match="line 4"):
        list(warehouse.read([jsonl.Line(4, line)], DAY))


def test_nothing_to_load_leaves_the_old_day(hook, sql):
    load(hook, record(1))
    with pytest.raises(InvalidLoad, match="no answer to load"):
        load(hook)
    assert sql("SELECT count(*) FROM answers") == [(1,)]


def test_table_of_other_columns_is_told_as_the_database_does(hook, sql):
    sql("CREATE TABLE answers (day TEXT, service TEXT, id TEXT)")
    with pytest.raises(sqlite3.OperationalError, match="no column named line"):
        load(hook, record(1))


def test_locked_database_blames_no_row(hook, sql, path, monkeypatch):
    load(hook, record(1, answer="old"))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *of, **more: connect(*of, **more, timeout=0.01))
    with closing(connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            load(hook, record(1))
    assert sql("SELECT answer FROM answers") == [("old",)]


@pytest.mark.parametrize(
    ("table", "day", "words"),
    [
        ("answers; DROP TABLE answers", DAY, "table: "),
        ("", DAY, "table: "),
        ("a.b.c.d", DAY, "table: "),
        ("answers", "today", "day: 'today' is not a day"),
        ("answers", "", "day: '' is not a day"),
    ],
    ids=["statement", "no name", "too many dots", "word", "no day"],
)
def test_table_or_day_that_is_none_is_refused(table, day, words):
    with pytest.raises(InvalidLoad, match=words):
        warehouse.check(table, day)


@pytest.mark.parametrize("table", ["answers", "public.answers", "my-project.set_1.answers"])
def test_table_may_be_named_with_its_schema(table):
    warehouse.check(table, DAY)


class Diagnosed(Exception):
    """As psycopg's errors tell of a column."""

    class diag:
        column_name = "answer"


@pytest.mark.parametrize(
    ("failure", "column"),
    [
        (Diagnosed("null value"), "answer"),
        (ValueError("NOT NULL constraint failed: answers.prompt_tokens"), "prompt_tokens"),
        (ValueError("cannot store TEXT value in INTEGER column answers.id"), "id"),
        (ValueError("Data too long for column 'answer' at row 1"), "answer"),
        (ValueError('null value in column "prompt" of relation "answers"'), "prompt"),
        (ValueError("CHECK constraint failed: length(answer) > 0"), "answer"),
        (ValueError('violates check constraint "answers_prompt_tokens_check"'), "prompt_tokens"),
        (ValueError("CHECK constraint failed: answer <> prompt"), ""),
        (ValueError('invalid input syntax for type integer: "the answer"'), ""),
        (ValueError("value too long for type character varying(5)\nDETAIL: answers.id"), ""),
    ],
)
def test_column_is_named_where_the_database_names_it(failure, column):
    assert warehouse.column_of(failure) == column
