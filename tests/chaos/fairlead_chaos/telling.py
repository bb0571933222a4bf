"""What becomes of the watch events of one resource while one operator process lives.

Pure: events and times go in, steps come out. The relay carries the steps out. State is kept by
resource, not by stream, since a client that asks anew goes on from where it was.
"""

from dataclasses import dataclass, field
from typing import Final

from fairlead_chaos.agenda import Agenda
from fairlead_chaos.faults import Cut, Drop, Hold, Moment, Replay, Stall, Told
from fairlead_chaos.history import number
from fairlead_chaos.streams import BOOKMARK, Event

DROPPED_SECONDS: Final = 30.0
"""How long a dropped event waits for the next one of its object."""


@dataclass(frozen=True)
class Tell:
    """Relay this line."""

    line: bytes


@dataclass(frozen=True)
class Pause:
    """Let nothing through until ``Telling.stalled_until``."""


@dataclass(frozen=True)
class Die:
    """Kill the operator, once what came before is flushed."""


@dataclass(frozen=True)
class End:
    """End the stream."""


Step = Tell | Pause | Die | End


@dataclass
class _Held:
    """Events of one object that wait."""

    until: float
    scope: str
    newest: int = 0
    steps: list[Step] = field(default_factory=list)
    drop: Drop | None = None
    """Why the object's next event takes the place of what waits."""


class Telling:
    """The events of one resource. ``scope`` is the namespace that a stream is of; "" is all."""

    def __init__(self, agenda: Agenda, stalled_until: float = 0.0) -> None:
        self._agenda = agenda
        self.stalled_until = stalled_until
        self._held: dict[tuple[str, str], _Held] = {}
        self._dropped: set[Told] = set()
        self._to_replay: dict[Replay, bytes] = {}

    def take(self, event: Event, told: Told | None, now: float, scope: str = "") -> list[Step]:
        """An event has come; ``told`` is None of bookmarks and errors."""
        steps = self.due(now, scope)
        if told is None:
            # A bookmark says that all up to its version was told.
            is_true = event.type != BOOKMARK or not self._held
            return [*steps, Tell(event.line)] if is_true else steps
        place = (event.namespace, event.name)
        version = number(event.version)
        if hold := self._agenda.take(Hold, told):
            self._held[place] = _Held(now + hold.seconds, scope)
        elif told not in self._dropped and (drop := self._agenda.at(Drop, told)):
            self._held[place] = _Held(now + DROPPED_SECONDS, scope, drop=drop)
            self._dropped.add(told)
        else:
            self._make_up_for(place, version)
        if place not in self._held:
            return steps + ([] if told in self._dropped else self._steps(event, told, now))
        held = self._held[place]
        if version > held.newest:  # else a new stream tells it again
            held.newest = version
            held.steps += self._steps(event, told, now)
        return steps

    def due(self, now: float, scope: str = "") -> list[Step]:
        """What was held for long enough, in order."""
        steps: list[Step] = []
        for place, held in list(self._held.items()):
            if held.until <= now and held.scope == scope:
                steps += self._held.pop(place).steps
        return steps

    def next_due(self, scope: str = "") -> float | None:
        """When something is due next; None where nothing is held."""
        return min(
            (held.until for held in self._held.values() if held.scope == scope), default=None
        )

    def withholds(self, now: float) -> bool:
        """Whether something that has come is still to be told."""
        return bool(self._held) or self.stalled_until > now

    def _make_up_for(self, place: tuple[str, str], version: int) -> None:
        """Forget a dropped event where this one tells more: only now it was never told."""
        held = self._held.get(place)
        if held is not None and held.drop is not None and version > held.newest:
            self._agenda.spend(held.drop)
            del self._held[place]

    def _steps(self, event: Event, told: Told, now: float) -> list[Step]:
        if self._agenda.kills(told, Moment.BEFORE_SEND):
            return [Die()]
        if self._agenda.take(Cut, told):
            return [End()]
        steps: list[Step] = []
        if stall := self._agenda.take(Stall, told):
            self.stalled_until = now + stall.seconds
            steps.append(Pause())
        steps.append(Tell(event.line))
        steps += self._replayed(event, told)
        if self._agenda.kills(told, Moment.AFTER_REPLY):
            steps.append(Die())
        return steps

    def _replayed(self, event: Event, told: Told) -> list[Step]:
        """Earlier events that are told again after this one."""
        steps: list[Step] = []
        for replay in self._agenda.left(Replay):
            if replay.at == told:
                self._to_replay[replay] = event.line
            elif replay.after == told and replay in self._to_replay:
                self._agenda.spend(replay)
                steps.append(Tell(self._to_replay.pop(replay)))
        return steps
