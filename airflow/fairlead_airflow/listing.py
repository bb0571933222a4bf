"""Which of the files that are there is a new dataset, and whether it is whole; pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fairlead_airflow.fields import InvalidField
from fairlead_api import outcome

_MOMENTS: Final = ("mtime", "LastModified", "last_modified", "updated", "created")
_TAGS: Final = ("ETag", "etag", "md5Hash", "generation", "checksum")
_NONE: Final = ("", "None")


@dataclass(frozen=True)
class Entry:
    """One file, by what its storage tells of it."""

    uri: str
    size: int
    mtime: str
    """When it was last written, in ISO 8601 and UTC; empty where its storage doesn't tell."""
    etag: str
    """What its storage calls this content; empty where it doesn't."""

    @property
    def identity(self) -> str:
        """What tells this file, as it is now, from all others."""
        text = json.dumps([self.uri, self.size, self.mtime, self.etag])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def result(self) -> dict[str, Any]:
        """What a sensor hands on."""
        return asdict(self) | {"identity": self.identity}


def entry(uri: str, told: Mapping[str, Any]) -> Entry:
    """A file by what fsspec tells of it, whichever the storage."""
    moment = next((told[key] for key in _MOMENTS if told.get(key) is not None), None)
    tag = next((told[key] for key in _TAGS if told.get(key) is not None), "")
    size = told.get("size")
    found = _moment(moment)
    return Entry(uri, int(size or 0), found.isoformat() if found else "", str(tag).strip('"'))


def _moment(told: Any) -> datetime | None:
    """A moment as storages tell it: seconds, a datetime or text."""
    if isinstance(told, int | float):
        return datetime.fromtimestamp(told, UTC)
    if isinstance(told, str):
        try:
            told = datetime.fromisoformat(told)
        except ValueError:
            return None
    if not isinstance(told, datetime):
        return None
    return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)


def parse_since(given: datetime | str | None) -> datetime | None:
    """From when on files count, as a DAG gives it.

    Raises:
        InvalidField: Where it is no moment.
    """
    if given is None or given in _NONE:
        return None
    found = _moment(given)
    if found is None:
        raise InvalidField(f"since: must be a moment in ISO 8601, it is {given!r}")
    return found


def parse_seen(given: Any) -> list[str]:
    """Identities of files that earlier runs took: one, several, or what the sensor handed on.

    Raises:
        InvalidField: Where it is something else.
    """
    if given is None or given in _NONE:
        return []
    if isinstance(given, Mapping) and isinstance(given.get("identity"), str):
        return [given["identity"]]
    if isinstance(given, str) and given.isalnum():
        return [given]
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [identity for one in given for identity in parse_seen(one)]
    raise InvalidField(
        f"seen: must be the identity that an earlier run handed on, or a list of them, it is"
        f" {given!r}"
    )


class Lookout:
    """Takes the newest new file, once two looks have found it the same: then it is whole."""

    def __init__(self, seen: Iterable[str] = (), since: datetime | None = None) -> None:
        self._seen, self._since = frozenset(seen), since
        self._before: Entry | None = None

    def judge(
        self, entries: Iterable[Entry]
    ) -> tuple[outcome.Waiting | outcome.Succeeded, Entry | None]:
        """What a look means, and the file if it is there."""
        there = list(entries)
        new = [each for each in there if self._is_new(each)]
        newest = max(new, key=lambda each: (each.mtime, each.uri), default=None)
        before, self._before = self._before, newest
        if newest is None:
            return outcome.Waiting(f"no new file, {len(there)} in all"), None
        line = f"{newest.uri}, {newest.size} bytes"
        if newest != before:
            return outcome.Waiting(f"{line}; must be the same at the next look"), None
        return outcome.Succeeded(line), newest

    def _is_new(self, each: Entry) -> bool:
        """An empty file is not there yet; one of unknown age is told by its identity only."""
        written = _moment(each.mtime)
        is_old = self._since is not None and written is not None and written < self._since
        return each.size > 0 and not is_old and each.identity not in self._seen
