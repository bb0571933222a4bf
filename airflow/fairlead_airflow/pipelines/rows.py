"""Training rows that a run brings along: checked one by one before any compute is spent; pure.

The job's own Prepare reads them more strictly; this finds what it would refuse without a pod.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from fairlead_api.finetunejob import DataFormat

MAX_CHARS: Final = 131_072
"""Of inline rows, by the FineTuneJob's schema."""
MAX_TOLD: Final = 10
_FIELDS: Final = {
    DataFormat.CONVERSATIONAL: ("messages",),
    DataFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    DataFormat.TEXT: ("text",),
}
_ROLES: Final = ("system", "user", "assistant")


class BrokenRows(ValueError):
    """Rows that no training could use; the message names lines."""


def check(source: str, text: str, format_: str = DataFormat.AUTO) -> int:
    """Count the rows.

    Args:
        source: Where they are from, for messages.
        text: The rows as JSONL.
        format_: The shape that they should have; Auto: that of the first.

    Raises:
        BrokenRows: When there are none, too many, or some are broken.
    """
    if len(text) > MAX_CHARS:
        raise BrokenRows(
            f"{source}: {len(text)} characters; a run brings at most {MAX_CHARS} along:"
            " put larger data on a claim and give its pvc:// address"
        )
    num_rows, faults, expected = 0, [], DataFormat(format_)
    for number, row in _rows(text):
        num_rows += 1
        if expected is DataFormat.AUTO:
            expected = _format(row)
        if fault := _fault(row, expected):
            faults.append(f"line {number}: {fault}")
    if not num_rows:
        raise BrokenRows(f"{source}: there is no row in it")
    if faults:
        more = f"\n… and {len(faults) - MAX_TOLD} more" if len(faults) > MAX_TOLD else ""
        told = "\n".join(faults[:MAX_TOLD])
        raise BrokenRows(f"{source}: {len(faults)} of {num_rows} rows are broken\n{told}{more}")
    return num_rows


def _rows(text: str) -> Iterator[tuple[int, Any]]:
    """(line, row); what is no JSON comes as the error."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as broken:
            yield number, broken


def _format(row: Any) -> DataFormat:
    """The shape of a row; Auto where it has none."""
    if isinstance(row, dict):
        for format_, fields in _FIELDS.items():
            if all(field in row for field in fields):
                return format_
    return DataFormat.AUTO


def _fault(row: Any, expected: DataFormat) -> str:
    """What is wrong with a row; empty: nothing."""
    if isinstance(row, ValueError):
        return f"no JSON: {row}"
    if not isinstance(row, dict):
        return f"must be an object, it is {type(row).__name__}"
    if expected is DataFormat.AUTO:
        shapes = "; ".join(" and ".join(fields) for fields in _FIELDS.values())
        return f"has the fields of no shape ({shapes}), only: {', '.join(row) or 'none'}"
    for field in _FIELDS[expected]:
        if field not in row:
            return f"{field} is missing; a {expected} row has {' and '.join(_FIELDS[expected])}"
        if fault := _content_fault(row[field]):
            return f"{field} {fault}"
    return ""


def _content_fault(content: Any) -> str:
    """What is wrong with a text or a list of messages."""
    if isinstance(content, str):
        return "" if content.strip() else "is empty"
    if not isinstance(content, list) or not content:
        return "must be a text or a list of messages"
    for index, message in enumerate(content):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            return f"[{index}] must have a role of {', '.join(_ROLES)}"
        if not isinstance(message.get("content"), str):
            return f"[{index}] must have a content that is a text"
    return ""
