"""Answers as rows of a table; pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead_airflow.jsonl import Line

COLUMNS: Final = {
    "day": "DATE",
    "service": "TEXT",
    "id": "TEXT",
    "line": "INTEGER",
    "model": "TEXT",
    "prompt": "TEXT",
    "answer": "TEXT",
    "finish_reason": "TEXT",
    "prompt_tokens": "INTEGER",
    "answer_tokens": "INTEGER",
}
"""Of the table, with their types; all but the day are fields of the answers' rows."""
REQUIRED: Final = frozenset({"service", "id", "model", "answer"})


class BadRow(ValueError):
    """A row is not one of an answer; the message names line, id and column."""


@dataclass(frozen=True)
class Row:
    """One row to load."""

    line: int
    """Of the file of answers."""
    id: str
    service: str
    values: tuple[Any, ...]
    """In the order of COLUMNS."""

    def __str__(self) -> str:
        return f"line {self.line} (id {self.id!r})"


def read(lines: Iterable[Line], day: str) -> Iterator[Row]:
    """Rows from the file of answers.

    Raises:
        BadRow: At the first that is none.
    """
    for line in lines:
        try:
            record = json.loads(line.text)
        except (ValueError, RecursionError) as broken:
            raise BadRow(f"line {line.number}: no JSON: {broken}") from None
        if not isinstance(record, dict):
            raise BadRow(f"line {line.number}: not an object")
        yield _row(line.number, record, day)


def _row(line: int, record: Mapping[str, Any], day: str) -> Row:
    where = f"line {line} (id {record.get('id')!r})"
    given = {column: record.get(column) for column in COLUMNS} | {"day": day}
    for column, value in given.items():
        if value is None and column in REQUIRED:
            raise BadRow(f"{where}: {column} is missing")
        wanted = int if COLUMNS[column] == "INTEGER" else str
        if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            kind = "a whole number" if wanted is int else "text"
            raise BadRow(f"{where}: {column} must be {kind}, it is {value!r}")
    return Row(line, str(given["id"]), str(given["service"]), tuple(given.values()))


def of_one_service(chunk: Iterable[Row], service: str) -> None:
    """Whether rows are all of one service, whose day they replace.

    Raises:
        BadRow: At the first that is of another.
    """
    for row in chunk:
        if row.service != service:
            raise BadRow(f"{row}: service is {row.service}, line 1 has {service}")
