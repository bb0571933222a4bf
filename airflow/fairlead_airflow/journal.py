"""What was answered already, on disk as soon as it was: a run that was killed goes on from it.

One file for one pinned model of one service: another model's answers are never taken up. An entry
counts for the request that it answered, so a prompt or a parameter that changed is asked anew.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from fairlead_airflow import jsonl

VERSION: Final = 1

log = logging.getLogger(__name__)


class ForeignJournal(ValueError):
    """The file is the journal of something else."""


@dataclass(frozen=True)
class Key:
    """Whose answers."""

    namespace: str
    service: str
    model: str
    """The pinned model, by its address and digest; not the name that requests give."""

    @property
    def file_name(self) -> str:
        """Another for each key."""
        text = json.dumps([self.namespace, self.service, self.model])
        return f"journal-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"


@dataclass(frozen=True)
class _Place:
    digest: str
    offset: int
    size: int


class Journal:
    """An append-only file of answers; a context manager, and one process' at a time.

    Each entry is written before the next prompt is asked, so killing the process loses none;
    ``sync`` has all of them survive a power failure too, and is for the caller to call now and
    then. A line that is torn or broken is passed over: its prompt is asked again.
    """

    def __init__(self, folder: Path, key: Key) -> None:
        self.path = folder / key.file_name
        self.key = key
        self._entries: dict[str, _Place] = {}
        self._is_synced = True

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.path.open("a+b", buffering=0)
        try:
            jsonl.hold(self._stream, self.path)
            self._end = self._read()
            self._stream.truncate(self._end)
            if not self._end:
                self._append({"version": VERSION, "key": asdict(self.key)})
                jsonl.sync_folder(self.path.parent)
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        with self._stream:
            self.sync()

    def __len__(self) -> int:
        return len(self._entries)

    def has(self, prompt: str, digest: str) -> bool:
        """Whether the prompt of this id was answered as this request."""
        place = self._entries.get(prompt)
        return place is not None and place.digest == digest

    def add(self, prompt: str, digest: str, answer: Mapping[str, Any]) -> None:
        """Write an answer down."""
        offset = self._end
        self._append({"id": prompt, "request": digest, "answer": answer})
        self._entries[prompt] = _Place(digest, offset, self._end - offset)

    def answer(self, prompt: str) -> dict[str, Any]:
        """The last answer to the prompt of this id."""
        place = self._entries[prompt]
        entry = json.loads(os.pread(self._stream.fileno(), place.size, place.offset))
        answer: dict[str, Any] = entry["answer"]
        return answer

    def sync(self) -> None:
        """Have what was added survive a power failure."""
        if not self._is_synced:
            self._is_synced = True  # what is added meanwhile waits for the next time
            os.fsync(self._stream.fileno())

    def discard(self) -> None:
        """Forget all of it: the answers turned out not to be this key's."""
        self._entries.clear()
        self._stream.truncate(0)
        self._end = 0
        self.path.unlink(missing_ok=True)

    def _append(self, entry: Mapping[str, Any]) -> None:
        rest, begin = memoryview(jsonl.encode(entry)), self._end
        self._is_synced = False
        try:
            while rest:
                written = self._stream.write(rest)
                self._end += written
                rest = rest[written:]
        except OSError:  # a full disk: no torn line stands before what follows
            self._stream.truncate(begin)
            self._end = begin
            raise

    def _read(self) -> int:
        """Take up the entries; returns where the last whole line ends."""
        end = num_broken = 0
        with self.path.open("rb") as stream:
            for number, text in enumerate(stream, 1):
                if not text.endswith(b"\n"):
                    log.warning("%s: line %d is torn: left out", self.path, number)
                    break
                if number == 1:
                    self._check(text)
                elif not self._take(text, end):
                    num_broken += 1
                end += len(text)
        if num_broken:
            log.warning("%s: %d broken lines: their prompts are asked again", self.path, num_broken)
        return end

    def _check(self, header: bytes) -> None:
        try:
            found = json.loads(header)
        except ValueError:
            found = None
        if found != {"version": VERSION, "key": asdict(self.key)}:
            raise ForeignJournal(
                f"{self.path} begins as the journal of something else, not of {self.key}:"
                " move it away"
            )

    def _take(self, text: bytes, offset: int) -> bool:
        try:
            entry = json.loads(text)
            prompt, digest = entry["id"], entry["request"]
            is_whole = isinstance(entry["answer"], dict)
        except (ValueError, LookupError, TypeError):
            return False
        if is_whole:
            self._entries[prompt] = _Place(digest, offset, len(text))
        return is_whole
