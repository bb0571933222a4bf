"""JSON of the API server, cut where it is nested deeper than any reader here can follow.

The API server takes ten thousand levels in a free-form field. Python's own reader gives up at about
a thousand, pydantic at two hundred; and what one namespace holds comes in the same list and on the
same watch as everybody else's.
"""

import json
import re
from typing import Any, Final

import pydantic_core

MAX_LEVELS: Final = 100
"""What lies deeper becomes ``null``: nothing that is served has a tenth of it."""
_TOKENS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')
_OPEN, _CLOSE = (frozenset(marks) for marks in (b"[{", b"]}"))


def loads(text: bytes | str) -> Any:
    """The value that a JSON text holds, by the fast reader wherever that can.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return pydantic_core.from_json(text)
    except ValueError:  # too deep, or half a surrogate pair, which Python's own reader takes
        return json.loads(cut(text.encode() if isinstance(text, str) else text))


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
