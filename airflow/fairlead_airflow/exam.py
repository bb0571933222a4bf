"""Questions with the answers that are expected; pure but for ``load``, which reads a file.

A row is ``{"prompt": TEXT, "completion": TEXT}``, the same with lists of messages, or
``{"messages": […]}`` whose last one is the assistant's: the rows that SFT trains on. An exam is
taken whole: a broken row is refused by its line, so that two scores are of the same questions.
"""

import hashlib
import io
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fairlead_airflow import jsonl
from fairlead_airflow.jsonl import Line

ROLES: Final = ("system", "user", "assistant")
EXPECTED: Final = (
    'expected {"prompt": …, "completion": …} or {"messages": […]} that end with the assistant\'s'
)
_MAX_NAMED: Final = 10


class InvalidExam(ValueError):
    """Questions that can't be asked; names each line."""


@dataclass(frozen=True)
class Question:
    """One question."""

    line: int
    asked: Mapping[str, Any]
    """``{"prompt": …}`` or ``{"messages": …}``."""
    expected: str

    @property
    def is_chat(self) -> bool:
        """Whether it goes through the model's chat template."""
        return "messages" in self.asked

    @property
    def text(self) -> str:
        """The question as one text, for a judge."""
        if not self.is_chat:
            return str(self.asked["prompt"])
        return "\n".join(f"{each['role']}: {each['content']}" for each in self.asked["messages"])


class _Broken(ValueError):
    """What is wrong with a row."""


def load(questions: object, folder: Path, confined: bool = False) -> tuple[Question, ...]:
    """Questions of a path, of JSONL text or of a list of rows.

    Args:
        questions: Text of several lines, or one that begins as JSON does, is JSONL; any other is
            a path.
        folder: What a relative path is relative to.
        confined: Whether a path must lead to somewhere below the folder: else it is refused
            unread, as messages tell of what is in a file.

    Raises:
        InvalidExam: Naming each line that is wrong, or the file.
    """
    if isinstance(questions, str) and questions and not _is_text(questions):
        if confined:
            _require_below(folder, questions)
        return _of_file(folder / questions)
    if isinstance(questions, str) and questions:
        return parse(jsonl.lines(io.BytesIO(questions.encode("utf-8", "surrogatepass"))))
    if not isinstance(questions, Sequence) or not questions:
        raise InvalidExam("questions: must be a path, JSONL text or a list of rows")
    return _parsed(enumerate(questions, start=1), "questions: row")


def _is_text(questions: str) -> bool:
    return "\n" in questions or questions.lstrip("\ufeff \t").startswith(("{", "["))


def _require_below(folder: Path, given: str) -> None:
    path = Path(given)
    try:
        is_below = (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as failure:  # a loop of links, or no path at all
        raise InvalidExam(f"questions: {given} can't be read: {failure}") from failure
    if path.is_absolute() or ".." in path.parts or not is_below:
        raise InvalidExam(
            f"questions: {given} must be rows, or the path of a file below the DAG's folder,"
            " relative to it"
        )


def _of_file(path: Path) -> tuple[Question, ...]:
    try:
        with path.open("rb") as stream:
            return parse(jsonl.lines(stream), f"{path}, line")
    except InvalidExam:
        raise
    except (OSError, ValueError) as failure:  # the latter for what is no path
        raise InvalidExam(f"questions: {path} can't be read: {failure}") from failure


def parse(lines: Iterable[Line], where: str = "questions: line") -> tuple[Question, ...]:
    """Questions of lines; ``where`` is what messages put before a line's number.

    Raises:
        InvalidExam: Naming each line that is wrong.
    """
    return _parsed(((line.number, line) for line in lines), where)


def _parsed(rows: Iterable[tuple[int, object]], where: str) -> tuple[Question, ...]:
    found, broken = [], []
    for number, row in rows:
        try:
            found.append(_question(number, row))
        except _Broken as problem:
            broken.append(f"{where} {number}: {problem}")
    if broken:
        more = len(broken) - _MAX_NAMED
        tail = [f"and {more} more"] if more > 0 else []
        raise InvalidExam("\n".join(broken[:_MAX_NAMED] + tail))
    if not found:
        raise InvalidExam(f"{where.rsplit(', ', 1)[0].split(':')[0]}: there is no row")
    return tuple(found)


def draw(questions: Sequence[Question], at_most: int | None, seed: int) -> tuple[Question, ...]:
    """That many of them, the same ones for the same seed, in their own order."""
    if at_most is None or at_most >= len(questions):
        return tuple(questions)
    chosen = random.Random(seed).sample(range(len(questions)), at_most)
    return tuple(questions[index] for index in sorted(chosen))


def digest(questions: Iterable[Question]) -> str:
    """What tells this exam from others: its questions and answers, not its file's layout."""
    content = hashlib.sha256()
    for each in questions:
        row = json.dumps([each.asked, each.expected], sort_keys=True)
        content.update(row.encode() + b"\n")
    return f"sha256:{content.hexdigest()}"


def _question(number: int, row: object) -> Question:
    fields = _document(row) if isinstance(row, Line) else row
    if not isinstance(fields, Mapping):
        raise _Broken(f"is {_kind(fields)}; {EXPECTED}")
    if "messages" in fields and "prompt" not in fields:
        *asked, last = _messages(fields["messages"], "messages")
        if last["role"] != "assistant":
            raise _Broken("messages: must end with the assistant's")
        return Question(number, {"messages": _asked(asked, "messages")}, last["content"])
    if "messages" in fields or "prompt" not in fields or "completion" not in fields:
        raise _Broken(f"found {', '.join(sorted(map(str, fields))) or 'no field'}; {EXPECTED}")
    prompt, completion = fields["prompt"], fields["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return Question(
            number, {"prompt": _text(prompt, "prompt")}, _text(completion, "completion")
        )
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise _Broken("prompt and completion must both be texts or both lists of messages")
    answers = _messages(completion, "completion")
    if [each["role"] for each in answers] != ["assistant"]:
        raise _Broken("completion: must be one message of the assistant")
    asked = _asked(_messages(prompt, "prompt"), "prompt")
    return Question(number, {"messages": asked}, answers[0]["content"])


def _document(line: Line) -> object:
    if line.is_cut:
        raise _Broken(f"is longer than {len(line.text)} bytes")
    try:
        return json.loads(line.text.decode())
    except UnicodeDecodeError as error:
        raise _Broken(f"is not UTF-8 (byte {error.start + 1})") from None
    except (ValueError, RecursionError) as error:
        raise _Broken(f"is no JSON: {error}") from None


def _asked(messages: list[dict[str, str]], where: str) -> list[dict[str, str]]:
    if not messages or messages[-1]["role"] != "user":
        raise _Broken(f"{where}: the user's message before the answer is missing")
    return messages


def _messages(given: object, where: str) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise _Broken(f"{where}: must be a list of messages, it is {_kind(given)}")
    found = []
    for index, message in enumerate(given):
        at = f"{where}[{index}]"
        if not isinstance(message, Mapping):
            raise _Broken(f"{at}: must be a message, it is {_kind(message)}")
        if message.get("role") not in ROLES:
            raise _Broken(f"{at}.role: must be one of {', '.join(ROLES)}")
        content = _text(message.get("content"), f"{at}.content")
        found.append({"role": message["role"], "content": content})
    return found


def _text(given: object, where: str) -> str:
    if not isinstance(given, str):
        raise _Broken(f"{where}: must be text, it is {_kind(given)}")
    if not given.strip():
        raise _Broken(f"{where}: is empty")
    if any("\ud800" <= char <= "\udfff" for char in given):
        raise _Broken(f"{where}: holds half a character")
    return given


def _kind(given: object) -> str:
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list"}
    names |= {dict: "an object"}
    return names.get(type(given), "a number")
