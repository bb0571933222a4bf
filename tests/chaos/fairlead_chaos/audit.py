"""Reads an API server's audit log on from where it stood, over files that are put aside meanwhile.

Reads files and knows their names' order; what a line says is others' concern. The API server puts
a full file aside under its time and in the end removes the oldest, so that whoever reads too
seldom loses calls: that is told, never passed over.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_LONGEST_LINE: Final = 2**20


class LostError(Exception):
    """Lines were removed before they were read."""


class AuditLog:
    """A place in an audit log; ``close`` it.

    The file that was read last stays open: put aside or removed, it is still the same file, and no
    other one gets its number.
    """

    def __init__(self, path: Path) -> None:
        """Begin at the end of the log.

        Args:
            path: The file that the API server writes to. Those that it put aside lie beside it, of
                names that come before its own and are in the order of time.
        """
        self._folder = path.parent
        self._file: BinaryIO = path.open("rb")
        begin = max(self._file.seek(0, os.SEEK_END) - _LONGEST_LINE, 0)
        self._file.seek(begin)
        self._file.seek(begin + self._file.read().rfind(b"\n") + 1)  # a line may be half written

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def lines(self) -> Iterator[bytes]:
        """Every whole line that has been written since those read last.

        Raises:
            LostError: The file that was read last has been removed, and others after it may have.
                The next call begins with the oldest that is left.
        """
        while True:
            following = self._following()  # looked for first: what was put aside grows no more
            while (line := self._file.readline()).endswith(b"\n"):
                yield line
            if following is None:
                self._file.seek(-len(line), os.SEEK_CUR)  # it is being written
                return
            self._go_on(following)

    def _following(self) -> BinaryIO | None:
        """The file after the one that was read last, None where that is the newest."""
        mine = os.fstat(self._file.fileno())
        while True:
            names = sorted(self._folder.iterdir())
            with contextlib.ExitStack() as stack, contextlib.suppress(FileNotFoundError):
                is_mine = [os.path.samestat(name.stat(), mine) for name in names]
                later = names[is_mine.index(True) + 1 :] if any(is_mine) else names
                opened = [stack.enter_context(name.open("rb")) for name in later[:1]]
                # A file that was put aside meanwhile bears another's name by now.
                if not names or sorted(self._folder.iterdir()) != names:
                    continue
                stack.pop_all()
                if any(is_mine):
                    return opened[0] if opened else None
                self._go_on(opened[0])
                raise LostError(
                    f"{self._folder}: the file that was read last was removed, and others may have"
                    " been: calls were not seen"
                )

    def _go_on(self, file: BinaryIO) -> None:
        self._file.close()
        self._file = file
