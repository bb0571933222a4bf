"""Lists as of an earlier moment, for the first process after a kill. Pure state of one run.

The API server itself serves the past: ``resourceVersionMatch=Exact``, as long as etcd keeps it.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from fairlead_chaos.agenda import Agenda
from fairlead_chaos.faults import OldList, Point
from fairlead_chaos.requests import Asked
from fairlead_chaos.trace import NOT_HEARD


@dataclass
class _Old:
    """One fault of the plan, as far as it has come."""

    fault: OldList
    version: int = 0
    """Of the moment just before ``as_of``; 0 until that has come."""
    until: float | None = None
    """When the present begins; None before the first old list."""
    listed: set[tuple[str, str]] = field(default_factory=set)

    def is_of(self, plural: str) -> bool:
        return plural in self.fault.resources if self.fault.resources else plural not in NOT_HEARD


class OldLists:
    """Which lists are answered with the past, and until when their watches wait."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._olds = [_Old(fault) for fault in agenda.left(OldList)]
        self._num_begun = 0
        """Processes that began after the first kill."""

    def begin(self, num_kills: int) -> None:
        """A new process starts, after so many kills."""
        self._num_begun += num_kills > 0

    @property
    def is_now(self) -> bool:
        """Whether the process that lives is the first one after the first kill."""
        return self._num_begun == 1

    def reached(self, point: Point, version_before: int) -> None:
        """A request or event has come; ``version_before`` is the newest version without it."""
        for old in self._olds:
            if old.fault.as_of == point and not old.version:
                old.version = version_before

    def version(self, asked: Asked, now: float) -> int | None:
        """The version as of which a listing is to be answered; None: as of now."""
        if not self.is_now or asked.is_next_page:
            return None
        for old in self._olds:
            if old.version and old.is_of(asked.plural) and self._is_old(old, asked, now):
                return old.version
        return None

    def _is_old(self, old: _Old, asked: Asked, now: float) -> bool:
        if asked.is_audit:
            return old.fault.audited and (old.until is None or now < old.until)
        scope = (asked.plural, asked.namespace)
        if scope in old.listed:
            return False
        if old.until is None:
            old.until = now + old.fault.seconds
            self._agenda.spend(old.fault)
        old.listed.add(scope)
        return True

    def told_from(self, plural: str) -> float:
        """When the watches of a resource that was listed old may begin to tell; 0: at once."""
        if not self.is_now:
            return 0.0
        listed = [old for old in self._olds if any(plural == one for one, _ in old.listed)]
        return max((old.until or 0.0 for old in listed), default=0.0)


def as_of(target: str, version: int) -> str:
    """The same listing as of a version; its next pages go on with that one by their token."""
    path, _, query = target.partition("?")
    kept = [
        (key, value)
        for key, value in parse_qsl(query, keep_blank_values=True)
        if key not in ("resourceVersion", "resourceVersionMatch")
    ]
    exact = [("resourceVersion", str(version)), ("resourceVersionMatch", "Exact")]
    return f"{path}?{urlencode(kept + exact)}"
