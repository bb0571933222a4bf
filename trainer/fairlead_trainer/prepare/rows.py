"""What a row must look like, in TRL's formats, and its one normal form.

Pure. A row is a mapping from a JSON line or a parquet row; columns that the format doesn't
know (ids, sources) are dropped, everything else that doesn't fit is refused with what was
expected. ``prompt`` and ``completion`` may be texts or lists of messages, all rows alike.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from fairlead_api.finetunejob import DataFormat

ROLES: Final = ("system", "user", "assistant")


class RowError(ValueError):
    """A row that doesn't fit; its text says what is expected."""


class Shape(StrEnum):
    """A format with its columns' type: what decides the parquet schema."""

    TEXT = "Text"
    CONVERSATIONAL = "Conversational"
    PROMPT_COMPLETION = "PromptCompletion"
    PROMPT_COMPLETION_MESSAGES = "PromptCompletion of messages"

    @property
    def data_format(self) -> DataFormat:
        """The format by the name that a manifest uses."""
        return DataFormat(self.value.removesuffix(" of messages"))


_COLUMNS: Final = {
    DataFormat.CONVERSATIONAL: ("messages",),
    DataFormat.PROMPT_COMPLETION: ("prompt", "completion"),
    DataFormat.TEXT: ("text",),
}
_PREFERENCE: Final = ("chosen", "rejected")
_TOOLS: Final = "tools"
COLUMNS: Final = frozenset({*_PREFERENCE, _TOOLS}).union(*_COLUMNS.values())
"""What decides about a row; other columns are dropped unread."""
_EXPECTED: Final = (
    'expected {"messages": [{"role": …, "content": …}]}, {"prompt": …, "completion": …}'
    ' or {"text": …}'
)


def detect(row: object) -> DataFormat:
    """Tell a row's format by its fields."""
    fields = _mapping(row)
    if all(name in fields for name in _PREFERENCE):
        raise RowError(f"a preference row: trainer type SFT cannot use it; {_EXPECTED}")
    fitting = [
        format_ for format_, columns in _COLUMNS.items() if all(name in fields for name in columns)
    ]
    if len(fitting) != 1:
        found = ", ".join(sorted(fields)) or "no fields"
        problem = "fits more than one format" if fitting else "fits no format"
        raise RowError(f"{problem} (found {found}); {_EXPECTED}")
    return fitting[0]


def normalise(row: object, format_: DataFormat) -> tuple[Shape, dict[str, Any]]:
    """The row's shape and normal form; raises RowError where it doesn't fit its format."""
    fields = _mapping(row)
    for name in _COLUMNS[format_]:
        if fields.get(name) is None:
            lack = "null" if name in fields else "missing"
            raise RowError(f"{name} is {lack}; a {format_} row needs {_spelled(format_)}")
    if format_ is DataFormat.TEXT:
        return Shape.TEXT, {"text": _text("text", fields["text"])}
    if fields.get(_TOOLS):
        raise RowError(
            "tools are not rendered into the prompt: write them into the system message, and"
            " remove the column"
        )
    if format_ is DataFormat.CONVERSATIONAL:
        messages = _messages("messages", fields["messages"])
        if messages[-1]["role"] != "assistant":
            raise RowError("messages must end with the assistant's")
        return Shape.CONVERSATIONAL, {"messages": messages}
    return _prompt_completion(fields["prompt"], fields["completion"])


def _prompt_completion(prompt: object, completion: object) -> tuple[Shape, dict[str, Any]]:
    if isinstance(prompt, str) and isinstance(completion, str):
        row: dict[str, Any] = {
            "prompt": _unicode("prompt", prompt),  # an empty one is fair
            "completion": _text("completion", completion),
        }
        return Shape.PROMPT_COMPLETION, row
    if isinstance(prompt, str) or isinstance(completion, str):
        raise RowError("prompt and completion must both be texts or both lists of messages")
    messages = {
        "prompt": _messages("prompt", prompt),
        "completion": _messages("completion", completion),
    }
    if any(message["role"] != "assistant" for message in messages["completion"]):
        raise RowError("completion may hold the assistant's messages only")
    return Shape.PROMPT_COMPLETION_MESSAGES, messages


def _mapping(row: object) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise RowError(f"expected an object, found {_kind(row)}")
    return row


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise RowError(f"{name} must be a text, found {_kind(value)}")
    if not value.strip():
        raise RowError(f"{name} is empty")
    return _unicode(name, value)


def _unicode(name: str, value: str) -> str:
    """JSON may spell half a surrogate pair, which no file of ours can hold."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"{name} is no Unicode text: {error.reason}") from error
    return value


def _messages(name: str, value: object) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise RowError(f"{name} must be a list of messages, found {_kind(value)}")
    return [_message(f"{name}[{index}]", item) for index, item in enumerate(value)]


def _message(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise RowError(f'{name} must be {{"role": …, "content": …}}, found {_kind(value)}')
    unknown = sorted(key for key in value if key not in ("role", "content"))
    if unknown and any(value[key] is not None for key in unknown):
        raise RowError(f"{name} has fields that SFT doesn't read: {', '.join(unknown)}")
    if value.get("role") not in ROLES:
        raise RowError(
            f"{name}.role must be one of {', '.join(ROLES)}, found {value.get('role')!r}"
        )
    return {"role": value["role"], "content": _text(f"{name}.content", value.get("content"))}


def _spelled(format_: DataFormat) -> str:
    return " and ".join(_COLUMNS[format_])


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number"}
    names |= {list: "a list", dict: "an object"}
    empty = isinstance(value, list | dict | str) and not value
    return "nothing" if empty else names.get(type(value), type(value).__name__)
