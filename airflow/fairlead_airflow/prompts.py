"""From the rows of a prompts file to prompts that can be asked; pure.

A row is ``{"prompt": TEXT}`` or ``{"messages": [{"role": …, "content": TEXT}, …]}``, with an ``id``
or without; other fields are left alone. A row that is none of it becomes a ``Fault`` with its line
and reason, and the next one is read: one broken row never costs the day.
"""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from fairlead_airflow.jsonl import Line

MAX_ID_CHARS: Final = 200
ROLES: Final = ("system", "user", "assistant")


class Reason(StrEnum):
    """Why a row is not asked."""

    NOT_TEXT = "NotText"
    NOT_JSON = "NotJSON"
    NOT_AN_OBJECT = "NotAnObject"
    BAD_ID = "BadId"
    BAD_PROMPT = "BadPrompt"
    EMPTY = "Empty"
    TOO_LONG = "TooLong"
    DUPLICATE_ID = "DuplicateId"
    DUPLICATE_PROMPT = "DuplicatePrompt"


HARMLESS: Final = frozenset({Reason.DUPLICATE_PROMPT})
"""Rows that are left out but not broken."""


class TooManyBroken(ValueError):
    """So many rows are broken that the file is not what it should be."""


@dataclass(frozen=True)
class Rules:
    """What a prompt must keep to."""

    max_chars: int = 32_000
    """Longest prompt, all its messages together."""
    is_unique: bool = True
    """Whether a prompt is asked once, though rows of several ids ask it."""


@dataclass(frozen=True)
class Prompt:
    """One prompt, preprocessed."""

    id: str
    """The row's own, or one of the prompt's text: it says which answer is whose."""
    line: int
    asked: Mapping[str, Any]
    """``{"prompt": …}`` or ``{"messages": …}``."""

    @property
    def record(self) -> dict[str, Any]:
        """As a row of the prepared file."""
        return {"id": self.id, "line": self.line, **self.asked}

    @property
    def text(self) -> str:
        """The prompt as it was given; messages as JSON."""
        if "prompt" in self.asked:
            return str(self.asked["prompt"])
        return json.dumps(self.asked["messages"], ensure_ascii=False)


@dataclass(frozen=True)
class Fault:
    """A row that is not asked."""

    line: int
    reason: Reason
    message: str
    id: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """As a row of the errors file."""
        return {"line": self.line, "id": self.id, "reason": self.reason, "message": self.message}


class _Broken(ValueError):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Seen:
    """Where what is asked was seen first."""

    def __init__(self, reason: Reason) -> None:
        self._reason = reason
        self._lines: dict[bytes, int] = {}

    def check(self, text: str, what: str) -> None:
        earlier = self._lines.get(_digest(text))
        if earlier is not None:
            raise _Broken(self._reason, f"{what} stands in line {earlier} already")

    def add(self, text: str, line: int) -> None:
        self._lines[_digest(text)] = line


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


@dataclass
class Counts:
    """How many rows became what."""

    num_prompts: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    first: dict[Reason, Fault] = field(default_factory=dict)
    """Of each reason."""

    def add(self, found: Prompt | Fault) -> None:
        """Count one row."""
        if isinstance(found, Prompt):
            self.num_prompts += 1
            return
        self.reasons[found.reason] += 1
        self.first.setdefault(found.reason, found)

    @property
    def num_rows(self) -> int:
        """All rows."""
        return self.num_prompts + sum(self.reasons.values())

    @property
    def num_broken(self) -> int:
        """Rows that should not have been there."""
        return sum(count for reason, count in self.reasons.items() if reason not in HARMLESS)

    @property
    def causes(self) -> list[str]:
        """A phrase a reason, the most frequent first, each with the first such row."""
        return [
            f"{reason} {count} (first in line {self.first[reason].line}:"
            f" {self.first[reason].message})"
            for reason, count in self.reasons.most_common()
        ]

    def judge(self, max_broken: float) -> None:
        """Whether the file can be worked with.

        Raises:
            TooManyBroken: When more than that share of its rows is broken, or none is left.
        """
        if not self.num_rows:
            raise TooManyBroken("the prompts file has no row")
        causes = "; ".join(self.causes)
        if self.num_broken > max_broken * self.num_rows:
            raise TooManyBroken(
                f"{self.num_broken} of {self.num_rows} rows are broken, more than"
                f" {max_broken:.0%}: {causes}"
            )
        if not self.num_prompts:
            raise TooManyBroken(f"none of {self.num_rows} rows is a prompt: {causes}")


def read(lines: Iterable[Line], rules: Rules) -> Iterator[Prompt | Fault]:
    """Read rows one by one; holds a digest of each, not the row."""
    of_ids, of_texts = _Seen(Reason.DUPLICATE_ID), _Seen(Reason.DUPLICATE_PROMPT)
    for line in lines:
        given = ""
        try:
            row = _document(line)
            given = _id(row)
            asked = _asked(row, rules.max_chars)
            text = json.dumps(asked, sort_keys=True)
            named = given or f"p-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
            of_text = text if rules.is_unique or not given else f"{named}\n{text}"
            of_texts.check(of_text, "the prompt")
            of_ids.check(named, f"id {named!r}")
        except _Broken as broken:
            yield Fault(line.number, broken.reason, str(broken), given)
        else:
            of_texts.add(of_text, line.number)
            of_ids.add(named, line.number)
            yield Prompt(named, line.number, asked)


def of_record(record: Mapping[str, Any]) -> Prompt:
    """A prompt from a row of the prepared file."""
    asked = {key: record[key] for key in ("prompt", "messages") if key in record}
    if len(asked) != 1:
        raise ValueError("neither prompt nor messages, or both")
    return Prompt(record["id"], record["line"], asked)


def _document(line: Line) -> dict[str, Any]:
    if line.is_cut:
        raise _Broken(Reason.TOO_LONG, f"the line is longer than {len(line.text)} bytes")
    try:
        found = json.loads(line.text.decode())
    except UnicodeDecodeError as broken:
        raise _Broken(Reason.NOT_TEXT, f"no UTF-8 at byte {broken.start + 1}") from None
    except (ValueError, RecursionError) as broken:
        raise _Broken(Reason.NOT_JSON, str(broken)) from None
    if not isinstance(found, dict):
        raise _Broken(Reason.NOT_AN_OBJECT, f"it is {_kind(found)}, not an object")
    return found


def _id(row: Mapping[str, Any]) -> str:
    given = row.get("id")
    if given is None:
        return ""
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise _Broken(Reason.BAD_ID, f"id: must be text or a whole number, it is {_kind(given)}")
    named = str(given).strip()
    if not named or len(named) > MAX_ID_CHARS or not named.isprintable():
        raise _Broken(Reason.BAD_ID, f"id: must be 1 to {MAX_ID_CHARS} printable characters")
    return named


def _asked(row: Mapping[str, Any], max_chars: int) -> dict[str, Any]:
    given = [key for key in ("prompt", "messages") if row.get(key) is not None]
    if len(given) != 1:
        fields = ", ".join(sorted(row)[:8]) or "none"
        raise _Broken(
            Reason.BAD_PROMPT, f"must have either prompt or messages; its fields: {fields}"
        )
    if given == ["prompt"]:
        prompt = _text(row["prompt"], "prompt")
        _fits(prompt, "prompt", max_chars)
        return {"prompt": prompt}
    messages = _messages(row["messages"])
    _fits("".join(message["content"] for message in messages), "messages", max_chars)
    return {"messages": messages}


def _messages(given: object) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise _Broken(Reason.BAD_PROMPT, "messages: must be a list of messages")
    found = []
    for index, message in enumerate(given):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _Broken(Reason.BAD_PROMPT, f"{where}: is {_kind(message)}, not an object")
        if message.get("role") not in ROLES:
            raise _Broken(Reason.BAD_PROMPT, f"{where}.role: must be one of {', '.join(ROLES)}")
        content = _text(message.get("content"), f"{where}.content")
        found.append({"role": message["role"], "content": content})
    if found[-1]["role"] != "user":
        raise _Broken(Reason.BAD_PROMPT, f"{where}.role: the last message must be the user's")
    return found


def _text(given: object, where: str) -> str:
    """Text in one form: composed characters, line ends of one kind, no blanks around it."""
    if not isinstance(given, str):
        raise _Broken(Reason.BAD_PROMPT, f"{where}: must be text, it is {_kind(given)}")
    if "\0" in given or any("\ud800" <= char <= "\udfff" for char in given):
        raise _Broken(Reason.NOT_TEXT, f"{where}: holds NUL or half a character")
    text = unicodedata.normalize("NFC", given).replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise _Broken(Reason.EMPTY, f"{where}: is empty")
    return text


def _fits(text: str, where: str, max_chars: int) -> None:
    if len(text) > max_chars:
        raise _Broken(Reason.TOO_LONG, f"{where}: {len(text)} characters, more than {max_chars}")


def _kind(given: object) -> str:
    names = {
        type(None): "null",
        bool: "true or false",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(given), "a number")
