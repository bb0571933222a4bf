"""Files of one JSON document a line: read within bounds, written whole or not at all.

Knows neither Airflow nor what the documents are about.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

MAX_LINE_BYTES: Final = 16 * 2**20
"""A longer line is passed on cut, so that a file without line ends doesn't fill the memory."""
_BOM: Final = b"\xef\xbb\xbf"
_PIECE_BYTES: Final = 2**20


class Busy(RuntimeError):
    """Another process writes the file: an earlier try of the same task, as a rule."""


@dataclass(frozen=True)
class Line:
    """A line that is not blank."""

    number: int
    """From 1, blank lines counted, as editors show it."""
    text: bytes
    is_cut: bool = False
    """Whether it goes on after ``text``."""


def lines(stream: IO[bytes], max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """Yield a file's lines without their ends, blank ones left out."""
    number = 0
    while text := stream.readline(max_bytes + 1):
        number += 1
        is_cut = len(text) > max_bytes and not text.endswith(b"\n")
        if is_cut:
            _skip_line(stream)
            text = text[:max_bytes]
        if number == 1:
            text = text.removeprefix(_BOM)
        if text.strip():
            yield Line(number, text.rstrip(b"\r\n"), is_cut)


def _skip_line(stream: IO[bytes]) -> None:
    while piece := stream.readline(_PIECE_BYTES):
        if piece.endswith(b"\n"):
            return


def encode(document: Mapping[str, Any]) -> bytes:
    """A document as one line."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def hold(stream: IO[bytes], path: Path) -> None:
    """Take a file for this process; it is let go by closing, however the process ends.

    Raises:
        Busy: When another one has it.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(f"{path} is being written by another process: an earlier try?") from None


class Output:
    """A file that appears under its name when it is whole; what stood there stands until then.

    A context manager: left by an exception, nothing appears.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_lines = 0
        self._aside = path.with_name(f"{path.name}.partial")
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> "Output":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = self._aside.open("ab")
        try:
            hold(stream, self._aside)
            stream.truncate(0)  # what a killed process left
        except BaseException:  # a task whose time is over is told so anywhere
            stream.close()
            raise
        self._stream = stream
        return self

    def write(self, document: Mapping[str, Any]) -> None:
        """Add a line."""
        if self._stream is None:
            raise RuntimeError("an output is a context manager: enter it first")
        self._stream.write(encode(document))
        self.num_lines += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with stream:
            if kind is not None:
                self._aside.unlink(missing_ok=True)
                return
            stream.flush()
            os.fsync(stream.fileno())
            self._aside.replace(self.path)
        sync_folder(self.path.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
