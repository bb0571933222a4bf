"""The state of one run that the proxy's parts share. No I/O."""

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

from fairlead_chaos.agenda import Agenda
from fairlead_chaos.faults import Told, Write
from fairlead_chaos.history import History, number
from fairlead_chaos.life import Life
from fairlead_chaos.oldlists import OldLists
from fairlead_chaos.streams import Event
from fairlead_chaos.telling import Telling
from fairlead_chaos.trace import NOT_COUNTED, Heard, Sent, Trace


class ProxyError(Exception):
    """The proxy could not do what the plan asks: of such a run nothing can be said."""


class PastLost(ProxyError):
    """The API server has forgotten the past that the plan asks for: the run took too long."""


@dataclass
class Entry:
    """A request's place in the trace."""

    log: list[Sent]
    place: int

    def note(self, **fields: Any) -> None:
        """Say more of the request."""
        self.log[self.place] = dataclasses.replace(self.log[self.place], **fields)


@dataclass
class Run:
    """One run of one operator under one plan."""

    agenda: Agenda
    old_lists: OldLists
    life: Life
    trace: Trace
    history: History = field(default_factory=History)
    began: float = field(default_factory=time.monotonic)
    _tellings: dict[str, Telling] = field(default_factory=dict)

    async def begin(self, incarnation: int) -> None:
        """A new process of the operator is about to start."""
        await self.life.begin(incarnation)
        self._tellings.clear()
        self.old_lists.begin(self.life.num_kills)

    def telling(self, plural: str) -> Telling:
        """What becomes of the events of a resource while this process lives."""
        if plural not in self._tellings:
            self._tellings[plural] = Telling(self.agenda, self.old_lists.told_from(plural))
        return self._tellings[plural]

    def heard(self, plural: str, event: Event, incarnation: int) -> Told | None:
        """Put a watch event down; None of bookmarks and errors."""
        if not event.is_of_object:
            return None
        told = self.history.count_event(plural, event)
        self.history.saw_event(plural, event)
        self.old_lists.reached(told, number(event.version) - 1)
        entry = Heard(len(self.trace.heard) + 1, told, event.version, self._seconds(), incarnation)
        self.trace.heard.append(entry)
        return told

    def watches(self, plural: str) -> Telling:
        """A watch stream of the living process has begun."""
        self.trace.watched.append((self.life.incarnation, plural))
        return self.telling(plural)

    @property
    def rests(self) -> bool:
        """Whether the living process has all its watches' news so far and no write under way."""
        now, incarnation = time.monotonic(), self.life.incarnation
        return (
            self.life.lives(incarnation)
            and any(watcher == incarnation for watcher, _ in self.trace.watched)
            and not any(telling.withholds(now) for telling in self._tellings.values())
            and not any(one.answered == "open" for one in self.trace.sent)
        )

    def sent(self, write: Write, incarnation: int) -> Entry:
        """Put a mutating request down, still without its reply."""
        is_counted = write.resource.partition("/")[0] not in NOT_COUNTED
        log = self.trace.sent if is_counted else self.trace.apart
        place = len(log)
        number_ = place + 1 if is_counted else 0
        log.append(Sent(number_, write, 0, self._seconds(), incarnation, answered="open"))
        return Entry(log, place)

    def _seconds(self) -> float:
        return time.monotonic() - self.began
