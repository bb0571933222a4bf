"""Which answers are good enough to be handed on, and why the others are not; pure."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from fairlead_airflow.jsonl import Line

WORDS_A_PHRASE: Final = 4
CHARS_A_PHRASE: Final = 16
"""Likewise, in scripts that set no blanks between words."""
FEW_PHRASES: Final = 12
"""A text of fewer may well say one twice."""
CHARS_A_WORD: Final = 24
"""Mean above which blanks don't part words."""


class Reason(StrEnum):
    """Why an answer is rejected."""

    UNREADABLE = "Unreadable"
    EMPTY = "Empty"
    NOT_TEXT = "NotText"
    CUT_OFF = "CutOff"
    TOO_SHORT = "TooShort"
    TOO_LONG = "TooLong"
    NOT_JSON = "NotJSON"
    MISSING_KEYS = "MissingKeys"
    REPETITIVE = "Repetitive"
    DUPLICATE = "Duplicate"


class InvalidRules(ValueError):
    """Rules that no answer could keep to, or that mean nothing; the message names the field."""


class TooFewAccepted(ValueError):
    """So few answers are good that the model, or the rules, are not what they should be."""


@dataclass(frozen=True)
class Rules:
    """What an answer must keep to."""

    min_chars: int = 1
    max_chars: int | None = None
    max_repetition: float = 0.6
    """Share of phrases that occurred before in the same answer."""
    format: str = "text"
    """``text``, or ``json``: the whole answer must be one JSON document."""
    required_keys: tuple[str, ...] = ()
    """Keys that the JSON object must have."""
    accepts_cut_off: bool = False
    """Whether an answer may end at ``max_tokens``, in the middle of a sentence."""
    is_unique: bool = False
    """Whether an answer may be given once only."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if self.format not in ("text", "json"):
            raise InvalidRules(f"format: must be text or json, it is {self.format!r}")
        if self.required_keys and self.format != "json":
            raise InvalidRules("required_keys: only answers of format json have keys")
        if self.max_chars is not None and self.max_chars < self.min_chars:
            raise InvalidRules(f"max_chars: is less than min_chars, {self.min_chars}")
        if not 0 < self.max_repetition <= 1:
            raise InvalidRules("max_repetition: must be above 0 and at most 1")


@dataclass(frozen=True)
class Rejected:
    """An answer that is not handed on."""

    record: Mapping[str, Any]
    """As it was; its line alone where it couldn't be read."""
    reason: Reason
    message: str

    @property
    def row(self) -> dict[str, Any]:
        """As a row of the file of rejected answers."""
        return {**self.record, "reason": self.reason, "message": self.message}


@dataclass(frozen=True)
class Accepted:
    """An answer that is."""

    row: Mapping[str, Any]
    """As it was."""


@dataclass
class Counts:
    """How many answers became what."""

    num_accepted: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)

    def add(self, found: Accepted | Rejected) -> None:
        """Count one answer."""
        if isinstance(found, Accepted):
            self.num_accepted += 1
        else:
            self.reasons[found.reason] += 1

    @property
    def num_rejected(self) -> int:
        """All rejected ones."""
        return sum(self.reasons.values())

    def judge(self, min_accepted: float) -> None:
        """Whether the day's answers can be handed on.

        Raises:
            TooFewAccepted: When fewer than that share of them is good, or none.
        """
        total = self.num_accepted + self.num_rejected
        if self.num_accepted and self.num_accepted >= min_accepted * total:
            return
        causes = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
        raise TooFewAccepted(
            f"{self.num_accepted} of {total} answers are good, of which {min_accepted:.0%} are"
            f" needed: {causes or 'there is none'}"
        )


class _Bad(ValueError):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def sift(lines: Iterable[Line], rules: Rules) -> Iterator[Accepted | Rejected]:
    """Judge answers one by one; holds a digest of each where they must be unique."""
    seen: dict[bytes, str] = {}
    for line in lines:
        record: Mapping[str, Any] = {"line_of_answers": line.number}
        try:
            record = _record(line)
            _check(record, rules)
            if rules.is_unique:
                _check_first(record, seen)
        except _Bad as bad:
            yield Rejected(record, bad.reason, str(bad))
        else:
            yield Accepted(record)


def repetition(text: str) -> float:
    """Share of a text's phrases that occurred in it before; 0 where it has few."""
    words: list[str] | str = text.split()
    size = WORDS_A_PHRASE
    if len(text) > CHARS_A_WORD * len(words):
        words, size = text, CHARS_A_PHRASE
    num_phrases = len(words) - size + 1
    if num_phrases < FEW_PHRASES:
        return 0.0
    phrases = {tuple(words[at : at + size]) for at in range(num_phrases)}
    return 1 - len(phrases) / num_phrases


def _record(line: Line) -> dict[str, Any]:
    try:
        record = json.loads(line.text)
    except (ValueError, RecursionError) as broken:
        raise _Bad(Reason.UNREADABLE, f"no JSON: {broken}") from None
    if not isinstance(record, dict) or not isinstance(record.get("answer"), str):
        raise _Bad(Reason.UNREADABLE, "no object with an answer that is text")
    return record


def _check(record: Mapping[str, Any], rules: Rules) -> None:
    text = record["answer"].strip()
    if not text:
        raise _Bad(Reason.EMPTY, "it says nothing")
    if "\0" in text:
        raise _Bad(Reason.NOT_TEXT, "it holds NUL, which databases refuse")
    if record.get("finish_reason") == "length" and not rules.accepts_cut_off:
        raise _Bad(Reason.CUT_OFF, "it ended at the limit of tokens (max_tokens)")
    if len(text) < rules.min_chars:
        raise _Bad(Reason.TOO_SHORT, f"{len(text)} characters, fewer than {rules.min_chars}")
    if rules.max_chars is not None and len(text) > rules.max_chars:
        raise _Bad(Reason.TOO_LONG, f"{len(text)} characters, more than {rules.max_chars}")
    if rules.format == "json":
        _check_json(text, rules.required_keys)
    if (share := repetition(text)) > rules.max_repetition:
        raise _Bad(Reason.REPETITIVE, f"{share:.0%} of its phrases were there before")


def _check_json(text: str, required: tuple[str, ...]) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as broken:
        raise _Bad(Reason.NOT_JSON, str(broken)) from None
    if not required:
        return
    if not isinstance(document, dict):
        raise _Bad(Reason.MISSING_KEYS, "it is no object, so it has no keys")
    if missing := [key for key in required if key not in document]:
        raise _Bad(Reason.MISSING_KEYS, f"without {', '.join(missing)}")


def _check_first(record: Mapping[str, Any], seen: dict[bytes, str]) -> None:
    key = hashlib.sha256(record["answer"].strip().encode("utf-8", "replace")).digest()[:16]
    named = str(record.get("id"))
    earlier = seen.setdefault(key, named)
    if earlier != named:
        raise _Bad(Reason.DUPLICATE, f"prompt {earlier!r} was answered so already")
