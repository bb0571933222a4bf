"""Loads a day's answers where a connection has no transactions: BigQuery, by its provider's hook.

Rows go to a table aside; one script then replaces the day in a transaction of its own. Statements
are kept short, since the hook writes the values into their text.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Any, Final, Protocol

from fairlead_airflow import rows
from fairlead_airflow.rows import COLUMNS, Row

CONN_TYPE: Final = "gcpbigquery"
TYPES: Final = {"TEXT": "STRING", "INTEGER": "INT64", "DATE": "DATE"}
MAX_ROWS: Final = 200
MAX_BYTES: Final = 400_000
"""Of the values in a statement: BigQuery takes 1 MB of text, in which escapes count too."""


class LegacySQL(ValueError):
    """The connection speaks a dialect without INSERT."""


class Hook(Protocol):
    """What is needed of BigQueryHook."""

    def get_conn(self) -> Any:
        """A maker of cursors."""


def load(hook: Hook, table: str, day: str, first: Row, rest: Iterable[Row]) -> int:
    """Replace the day's rows of the service that the rows are of; returns how many there are now.

    Raises:
        LegacySQL: The connection can't.
        BadRow: Not all rows are of one service.
    """
    if getattr(hook, "use_legacy_sql", False):
        raise LegacySQL(
            "the connection speaks legacy SQL: set use_legacy_sql to false in its extra"
        )
    aside = f"{table}_load_{_digest(day, first.service)}"
    columns = ", ".join(f"{name} {TYPES[kind]}" for name, kind in COLUMNS.items())
    with closing(hook.get_conn()) as connection:
        cursor = connection.cursor()
        drop = f"DROP TABLE IF EXISTS {aside}"
        cursor.execute(f"{drop}; CREATE TABLE {aside} ({columns})")
        try:
            num_rows = 0
            for chunk in chunked(chain([first], rest)):
                rows.of_one_service(chunk, first.service)
                cursor.execute(*_insert(aside, chunk))
                num_rows += len(chunk)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
            cursor.execute(_swap(table, aside), {"day": day, "service": first.service})
        finally:
            cursor.execute(drop)
    return num_rows


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def chunked(
    answers: Iterable[Row], max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES
) -> Iterator[list[Row]]:
    """Rows in chunks of few enough rows and bytes; a longer row is one by itself."""
    chunk: list[Row] = []
    size = 0
    for row in answers:
        more = sum(len(value.encode()) for value in row.values if isinstance(value, str))
        if chunk and (len(chunk) == max_rows or size + more > max_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += more
    if chunk:
        yield chunk


def _insert(table: str, chunk: Sequence[Row]) -> tuple[str, dict[str, Any]]:
    """A statement and its parameters, by name: the hook's cursor knows no others."""
    named = {
        f"{column}_{at}": value
        for at, row in enumerate(chunk)
        for column, value in zip(COLUMNS, row.values, strict=True)
    }
    values = ", ".join(
        "(" + ", ".join(f"%({column}_{at})s" for column in COLUMNS) + ")"
        for at in range(len(chunk))
    )
    return f"INSERT INTO {table} ({', '.join(COLUMNS)}) VALUES {values}", named


def _swap(table: str, aside: str) -> str:
    names = ", ".join(COLUMNS)
    return (
        "BEGIN TRANSACTION;\n"
        f"DELETE FROM {table} WHERE day = %(day)s AND service = %(service)s;\n"
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {aside};\n"
        "COMMIT TRANSACTION;"
    )
