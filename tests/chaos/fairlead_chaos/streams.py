"""Watch streams as bytes: lines out of chunks, events out of lines. Pure, no I/O."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fairlead_chaos import requests

BOOKMARK: Final = "BOOKMARK"
ERROR: Final = "ERROR"


class Lines:
    """Puts lines together from chunks that end anywhere."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Every line that the chunk completes, with its line feed; the rest waits for more."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line = b"".join((*self._begun, end, b"\n"))
            self._begun.clear()
            yield line
        if rest:
            self._begun.append(rest)

    @property
    def rest(self) -> bytes:
        """What is left without a line feed."""
        return b"".join(self._begun)


@dataclass(frozen=True)
class Event:
    """One watch event; ``line`` is what is relayed, untouched."""

    line: bytes
    type: str
    namespace: str = ""
    name: str = ""
    """The object's own name."""
    told_name: str = ""
    """The name that plans use."""
    version: str = ""
    code: int = 0
    """Of an error: its HTTP status."""

    @property
    def is_of_object(self) -> bool:
        """False of bookmarks and errors: they tell of no object."""
        return self.type not in (BOOKMARK, ERROR)


def event(line: bytes) -> Event:
    """Read a line; raises ValueError if it isn't an event."""
    body = json.loads(line)
    head = requests.metadata(body["object"])
    return Event(
        line=line,
        type=body["type"],
        namespace=head.get("namespace", ""),
        name=head.get("name", ""),
        told_name=requests.told_name(head),
        version=head.get("resourceVersion", ""),
        code=body["object"].get("code", 0) if body["type"] == ERROR else 0,
    )
