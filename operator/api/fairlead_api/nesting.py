"""JSON of the API server, as far as any reader here can follow: the rest of it is cut.

The API server keeps what stands in some free-form fields as it was sent: ten thousand levels, half
a surrogate pair, bytes that are no text, numbers of any length. Python's own reader gives up at
about a thousand levels, pydantic at two hundred and at all the others; and what one namespace holds
comes in the same list and on the same watch as everybody else's.
"""

import json
import re
import sys
from typing import Any, Final

import pydantic_core

MAX_LEVELS: Final = 100
"""What lies deeper becomes ``null``: nothing that is served has a tenth of it."""
# Every text that begins is a match, ended or not: nothing is looked at twice.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[\[\]{}]', re.DOTALL)
_OPEN, _CLOSE = (frozenset(marks) for marks in (b"[{", b"]}"))


def loads(text: bytes | str) -> Any:
    """The value that a JSON text holds, by the fast reader wherever that can.

    Elsewhere what is too deep and a number that is too long become ``null``, and what is no
    Unicode becomes U+FFFD, so that whatever comes out can be kept and read again.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        raw = text.encode() if isinstance(text, str) else text
        value = json.loads(cut(raw).decode(errors="replace"), parse_int=_number)
        return _without_halves(value)


def cut(text: bytes, max_levels: int = MAX_LEVELS) -> bytes:
    """The same JSON text with ``null`` for each list and object below so many others."""
    kept, level, begin = [], 0, 0
    for token in _TOKENS.finditer(text):
        mark = text[token.start()]
        if mark in _OPEN:
            level += 1
            if level == max_levels + 1:
                kept += [text[begin : token.start()], b"null"]
        elif mark in _CLOSE:
            level -= 1
            if level == max_levels:
                begin = token.end()
    return b"".join([*kept, text[begin:] if level <= max_levels else b""])


def _number(digits: str) -> int | None:
    return int(digits) if len(digits.lstrip("-")) <= sys.int_info.default_max_str_digits else None


def _without_halves(value: Any) -> Any:
    """The same value with U+FFFD for each half of a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_halves(each) for each in value]
    if isinstance(value, dict):
        return {_without_halves(key): _without_halves(each) for key, each in value.items()}
    return value
