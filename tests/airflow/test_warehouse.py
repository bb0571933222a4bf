"""A day's answers stand in the table once and whole, or the table is as before.

The database is SQLite behind common.sql's own hook, made by a connection as Airflow makes it.
"""

import json
import sqlite3
from contextlib import closing

import pytest
from airflow.sdk import BaseHook

from fairlead_airflow import bigquery, jsonl, rows, warehouse
from fairlead_airflow.rows import BadRow
from fairlead_airflow.warehouse import InvalidLoad, RowRefused

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


def answers(*records, day=DAY):
    lines = (jsonl.Line(number, jsonl.encode(row)) for number, row in enumerate(records, 1))
    return rows.read(lines, day)


def load(hook, *records, day=DAY, table="answers"):
    return warehouse.load(hook, table, day, answers(*records, day=day))


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
    assert warehouse.load(hook, "answers", DAY, rows.read(lines, DAY)) == 2_505
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
        list(rows.read([jsonl.Line(4, line)], DAY))


def test_nothing_to_load_leaves_the_old_day(hook, sql):
    load(hook, record(1))
    with pytest.raises(InvalidLoad, match="no answer to load"):
        load(hook)
    assert sql("SELECT count(*) FROM answers") == [(1,)]


def test_table_of_other_columns_is_told_as_the_database_does(hook, sql):
    sql("CREATE TABLE answers (day TEXT, service TEXT, id TEXT)")
    with pytest.raises(sqlite3.OperationalError, match="no column named line"):
        load(hook, record(1))


class ProgrammingError(Exception):
    """As databases say that a statement can't be done."""


class Refusing:
    """A stand-in for a connection of common.sql whose statements fail."""

    conn_type, supports_autocommit, placeholder = "postgres", False, "%s"

    def __init__(self, **failures):
        self.failures = failures
        self.get_conn = self.cursor = lambda: self

    def execute(self, statement, parameters=()):
        self.fail(statement.split()[0].lower())

    def fail(self, what):
        if what in self.failures:
            raise ProgrammingError(self.failures[what])

    def fetchall(self):
        return []

    def rollback(self):
        self.fail("rollback")

    def close(self):
        """Whatever came before."""


@pytest.mark.parametrize(
    ("failures", "words", "note"),
    [
        (
            {"select": "permission denied", "create": "relation already exists"},
            "permission denied",
            "nor can the table be made: relation already exists",
        ),
        (
            {"select": "connection was lost", "rollback": "connection is closed"},
            "connection was lost",
            "nor can the table be made: connection is closed",
        ),
        (
            {"delete": "connection was lost", "rollback": "connection is closed"},
            "connection was lost",
            "nor could it be rolled back: connection is closed",
        ),
    ],
    ids=["no right", "lost", "lost later"],
)
def test_what_comes_after_a_failure_does_not_hide_it(failures, words, note):
    with pytest.raises(ProgrammingError, match=words) as caught:
        load(Refusing(**failures), record(1))
    assert note in caught.value.__notes__


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
        ("answers--x", DAY, "table: "),
        ("answers", "", "day: '' is not a day"),
        ("answers", "20260131", "day: '20260131' is not a day"),
        ("answers", "2026-W05-6", "day: '2026-W05-6' is not a day"),
    ],
    ids=["statement", "no name", "too many dots", "word", "comment", "no day", "digits", "week"],
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


# --- BigQuery: no transaction of a connection, parameters by name --------------------------


class StandInBigQuery:
    """A stand-in for BigQuery's hook and cursor, with SQLite below them.

    Like these it binds a mapping into the statement's %(name)s, runs scripts, commits each
    statement by itself, and rolls a script's transaction back where it fails.
    """

    conn_type = "gcpbigquery"
    supports_autocommit = False
    use_legacy_sql = False

    def __init__(self, path):
        self.path = path
        self.statements = []

    def get_conn(self):
        return self

    def cursor(self):
        return self

    def commit(self):
        raise AssertionError("it has no transactions")

    rollback = commit

    def close(self):
        """Nothing is open."""

    def execute(self, operation, parameters=None):
        statement = operation % {
            name: "NULL" if value is None
            else str(value) if isinstance(value, int)
            else "'" + value.replace("'", "''") + "'"
            for name, value in (parameters or {}).items()
        } if parameters else operation  # fmt: skip
        self.statements.append(statement)
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.executescript(statement)


@pytest.fixture
def cloud(path):
    return StandInBigQuery(path)


def test_bigquery_takes_a_day_by_a_table_aside(cloud, sql, path):
    load(cloud, record(1, answer="it's 100% %(old)s", prompt_tokens=None))
    load(cloud, record(1), day="2026-01-30")
    given = [record(number) for number in range(1, 450)]
    assert load(cloud, *given) == 449
    assert load(cloud, record(1, answer="new")) == 1
    assert sql("SELECT day, answer FROM answers ORDER BY day") == [
        ("2026-01-30", "answer 1"),
        (DAY, "new"),
    ]
    assert sql("SELECT name FROM sqlite_master") == [("answers",)]
    types = [statement for statement in cloud.statements if "CREATE TABLE" in statement]
    assert "answer STRING" in types[0]
    assert "prompt_tokens INT64" in types[0]


def test_text_reaches_bigquery_as_it_is(cloud, sql):
    load(cloud, record(1, answer="it's 100% %(old)s", prompt_tokens=None))
    assert sql("SELECT answer, prompt_tokens FROM answers") == [("it's 100% %(old)s", None)]


def test_statements_stay_below_bigquerys_limit(cloud, sql):
    given = [record(number, answer="ä" * 50_000) for number in range(1, 30)]
    assert load(cloud, *given) == 29
    assert max(len(statement.encode()) for statement in cloud.statements) < 1_000_000
    assert len([one for one in cloud.statements if one.startswith("INSERT")]) > 3


@pytest.mark.parametrize("when", ["INSERT INTO answers_load", "DELETE FROM"], ids=["aside", "day"])
def test_load_that_bigquery_refuses_leaves_the_old_day(cloud, sql, monkeypatch, when):
    load(cloud, record(1, answer="old"))
    execute = StandInBigQuery.execute

    def refuse(self, operation, parameters=None):
        if when in operation:
            operation = operation.replace("COMMIT", "SELECT * FROM nowhere; COMMIT")
            operation = operation.replace(f"{when}", f"SELECT * FROM nowhere; {when}")
        execute(self, operation, parameters)

    monkeypatch.setattr(StandInBigQuery, "execute", refuse)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        load(cloud, record(1, answer="new"))
    assert sql("SELECT answer FROM answers") == [("old",)]
    assert sql("SELECT name FROM sqlite_master") == [("answers",)]


def test_rows_of_two_services_leave_bigquerys_old_day(cloud, sql):
    load(cloud, record(1, answer="old"))
    with pytest.raises(BadRow, match="service is team/tens"):
        load(cloud, record(1), record(2, service="team/tens"))
    assert sql("SELECT answer FROM answers") == [("old",)]


def test_connection_that_speaks_legacy_sql_is_refused(cloud, sql):
    cloud.use_legacy_sql = True
    with pytest.raises(bigquery.LegacySQL, match="use_legacy_sql"):
        load(cloud, record(1))
    assert cloud.statements == []


@pytest.mark.parametrize(
    ("sizes", "chunks"),
    [
        ([10] * 5, [2, 2, 1]),
        ([30, 2, 2], [1, 2]),
        ([24, 24], [1, 1]),
        ([99], [1]),
        ([], []),
    ],
    ids=["small", "large first", "large", "larger than allowed", "none"],
)
def test_chunks_keep_to_rows_and_bytes(sizes, chunks):
    given = [rows.Row(n, "a", "s", ("ä" * (size // 2),)) for n, size in enumerate(sizes, 1)]
    found = list(bigquery.chunked(given, max_rows=2, max_bytes=30))
    assert [len(chunk) for chunk in found] == chunks
    assert [row for chunk in found for row in chunk] == given
