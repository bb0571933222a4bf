"""Loads a day's answers into a table of SQLite, PostgreSQL, MySQL or BigQuery; needs no Airflow.

The day's rows of a service are replaced in one transaction: a load that fails leaves what stood
there, a load that is run again leaves the rows once. Rows are streamed; one that the database
refuses is named.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date
from itertools import islice
from typing import Any, Final, Protocol

from fairlead_airflow import bigquery, rows
from fairlead_airflow.rows import COLUMNS, BadRow, Row

CHUNK_ROWS: Final = 200
"""Rows of one statement: some databases take 2,100 parameters at most."""
OF_A_ROW: Final = frozenset({"IntegrityError", "DataError"})
"""PEP 249's names of errors that the values of a row cause."""
_TABLE: Final = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_]\w*){0,2}")


class InvalidLoad(ValueError):
    """What was asked can't be loaded; the message names the field."""


class RowRefused(ValueError):
    """The database refuses a row; the message names line, id and, where it is told, column."""


REFUSALS: Final = (InvalidLoad, BadRow, RowRefused, bigquery.LegacySQL)
"""What no retry mends."""


class Database(Protocol):
    """What is needed of common.sql's DbApiHook."""

    conn_type: str
    supports_autocommit: bool

    @property
    def placeholder(self) -> str:
        """How a parameter stands in a statement."""

    def get_conn(self) -> Any:
        """A connection of PEP 249."""

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Whether each statement is a transaction."""


def check(table: str, day: str) -> None:
    """Whether a table and a day can be meant.

    Raises:
        InvalidLoad: Naming which can't.
    """
    if not _TABLE.fullmatch(table) or "--" in table:  # which begins a comment
        raise InvalidLoad(f"table: {table!r} is not a name, or names with dots between")
    try:
        is_day = date.fromisoformat(day).isoformat() == day  # not 20260131: rows go by the text
    except ValueError:
        is_day = False
    if not is_day:
        raise InvalidLoad(f"day: {day!r} is not a day such as 2026-01-31")


def load(database: Database, table: str, day: str, answers: Iterable[Row]) -> int:
    """Replace the day's rows of the service that the rows are of; returns how many there are now.

    Raises:
        InvalidLoad: There is no row.
        BadRow: Not all rows are of one service.
        RowRefused: By the database; all stands as before.
    """
    rest = iter(answers)
    first = next(rest, None)
    if first is None:
        raise InvalidLoad("there is no answer to load")
    if database.conn_type == bigquery.CONN_TYPE:
        return bigquery.load(database, table, day, first, rest)
    with closing(database.get_conn()) as connection:
        if database.supports_autocommit:
            database.set_autocommit(connection, False)
        writer = _Writer(connection.cursor(), table, database.placeholder)
        try:
            _have_table(connection, writer)
            num_rows = writer.replace(day, first, rest)
        except BaseException as failure:
            _undo(connection, failure)
            raise
        connection.commit()
    return num_rows


def _have_table(connection: Any, writer: "_Writer") -> None:
    """Make the table if it can't be read; where that fails, too, tell why it couldn't be."""
    try:
        writer.look()
    except Exception as failure:
        if not is_about_the_statement(failure):
            raise
        try:
            connection.rollback()
            writer.create()
        except Exception as second:
            failure.add_note(f"nor can the table be made: {first_line(second)}")
            raise failure from second


def _undo(connection: Any, failure: BaseException) -> None:
    """Roll back; a connection that is lost has done so, and must not hide what was the matter."""
    try:
        connection.rollback()
    except Exception as second:
        failure.add_note(f"nor could it be rolled back: {first_line(second)}")


class _Writer:
    """Statements of one transaction."""

    def __init__(self, cursor: Any, table: str, placeholder: str) -> None:
        self._cursor, self._table, self._placeholder = cursor, table, placeholder

    def look(self) -> None:
        """Read the table, which tells whether it is there: who may load may not make tables."""
        self._cursor.execute(f"SELECT 1 FROM {self._table} WHERE 1 = 0")
        self._cursor.fetchall()

    def create(self) -> None:
        """Make the table."""
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self._cursor.execute(f"CREATE TABLE {self._table} ({columns})")

    def replace(self, day: str, first: Row, rest: Iterator[Row]) -> int:
        """All of it, without the commit."""
        mark = self._placeholder
        self._cursor.execute(
            f"DELETE FROM {self._table} WHERE day = {mark} AND service = {mark}",
            (day, first.service),
        )
        num_rows, chunk = 0, [first, *islice(rest, CHUNK_ROWS - 1)]
        while chunk:
            rows.of_one_service(chunk, first.service)
            self._insert_or_blame(chunk)
            num_rows += len(chunk)
            chunk = list(islice(rest, CHUNK_ROWS))
        return num_rows

    def _insert_or_blame(self, chunk: Sequence[Row]) -> None:
        self._cursor.execute("SAVEPOINT chunk")
        try:
            self._insert(chunk)
        except Exception as refused:
            if not is_of_a_row(refused):
                raise
            self._blame(chunk, refused)
        self._cursor.execute("RELEASE SAVEPOINT chunk")

    def _blame(self, chunk: Sequence[Row], refused: Exception) -> None:
        """Insert one by one what was refused together, to find the row that it was."""
        self._cursor.execute("ROLLBACK TO SAVEPOINT chunk")
        for row in chunk:
            try:
                self._insert([row])
            except Exception as again:
                if not is_of_a_row(again):
                    raise
                column = column_of(again)
                where = f"{row}, column {column}" if column else str(row)
                raise RowRefused(f"{self._table} refuses {where}: {first_line(again)}") from again
        raise RowRefused(
            f"{self._table} refuses lines {chunk[0].line} to {chunk[-1].line} together, but none"
            f" alone: {first_line(refused)}"
        ) from refused

    def _insert(self, chunk: Sequence[Row]) -> None:
        marks = ", ".join([self._placeholder] * len(COLUMNS))
        values = ", ".join([f"({marks})"] * len(chunk))
        self._cursor.execute(
            f"INSERT INTO {self._table} ({', '.join(COLUMNS)}) VALUES {values}",
            tuple(value for row in chunk for value in row.values),
        )


def is_of_a_row(failure: Exception) -> bool:
    """Whether a row's values caused a failure, not the connection, the table or the statement."""
    if isinstance(failure, OverflowError | ValueError):
        return True  # the driver can't send it
    return bool(OF_A_ROW & _kinds(failure))


def is_about_the_statement(failure: Exception) -> bool:
    """Whether the database answered, but couldn't do what the statement says."""
    return bool({"ProgrammingError", "OperationalError"} & _kinds(failure))


def _kinds(failure: Exception) -> set[str]:
    return {kind.__name__ for kind in type(failure).__mro__}


def column_of(failure: Exception) -> str:
    """The column that a database names as the cause; empty where it names none of ours."""
    told = getattr(getattr(failure, "diag", None), "column_name", None)  # Postgres
    if told in COLUMNS:
        return str(told)
    text = first_line(failure)
    if "check constraint" in text.lower():
        return _column_in(text)
    named = re.findall(r"(?:\bcolumn\s+|\.)[\"'`(]?(?:\w+\.)*(\w+)", text, re.IGNORECASE)
    return next((name for name in named if name in COLUMNS), "")


def _column_in(text: str) -> str:
    """The one column that a constraint's name or condition holds."""
    found = []
    for name in sorted(COLUMNS, key=len, reverse=True):
        rest = re.sub(rf"(?<![a-z]){name}(?![a-z])", "", text)
        if rest != text:
            found.append(name)
        text = rest
    return found[0] if len(found) == 1 else ""


def first_line(failure: Exception) -> str:
    """What a database says, without the row's values that some add below."""
    return (str(failure).strip() or repr(failure)).splitlines()[0]
