"""What one run does to the operator: faults as data, and the JSON of a plan.

Pure: no I/O, no clock. A plan names requests and watch events by what they are (``Write``,
``Told``), not by their number in a trace, since timing moves numbers. The proxy acts on it.
"""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

REFUSALS: Final = frozenset({409, 429, 500, 504})
"""What the proxy can answer in the API server's place."""


class Moment(StrEnum):
    """When, around one request or event, the operator dies."""

    BEFORE_SEND = "BeforeSend"
    """The API server never sees the request; of a watch event: the operator never sees it."""
    AFTER_COMMIT = "AfterCommit"
    """The API server has carried it out, the operator gets no reply. Of requests only."""
    AFTER_REPLY = "AfterReply"
    """The operator got the reply, or was told the event."""


@dataclass(frozen=True, order=True)
class Write:
    """A mutating request."""

    verb: str
    """create, patch, update or delete."""
    resource: str
    """Plural, with the subresource: ``jobs``, ``finetunejobs/status``."""
    name: str
    nth: int = 1
    """Which request of this verb, resource and name in the run, from 1; retries count.

    But for a patch that somebody else's write outran: the one that repeats it has the same number,
    and what befalls this point befalls that one.
    """


@dataclass(frozen=True, order=True)
class Told:
    """A watch event, as it comes from the API server."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: str
    name: str
    """Name of the object; of one with a generated name ``generateName`` and ``*``."""
    nth: int = 1
    """Which event of this type, resource and name in the run, from 1."""


Point = Write | Told


@dataclass(frozen=True)
class Kill:
    """SIGKILL the operator, once; it starts again at once, as the same pod's next container."""

    at: Point
    moment: Moment

    def __post_init__(self) -> None:
        if isinstance(self.at, Told) and self.moment == Moment.AFTER_COMMIT:
            raise ValueError("an event is told or not: nothing of it is committed")


@dataclass(frozen=True)
class Refuse:
    """Answer the request in the API server's place, without asking it."""

    at: Write
    code: int
    """409, 429, 500 or 504."""
    times: int = 1
    """How many requests of that verb, resource and name are answered so, one after the other."""
    retry_after_seconds: int | None = None

    def __post_init__(self) -> None:
        if self.code not in REFUSALS:
            raise ValueError(f"{self.code} is not among {sorted(REFUSALS)}")


@dataclass(frozen=True)
class LoseReply:
    """Let the API server carry the request out and break the connection: no reply, no death.

    The operator's HTTP library repeats a PUT or DELETE by itself where it had used the connection
    before: the operator then gets the second one's reply, 404 or 409.
    """

    at: Write


@dataclass(frozen=True)
class Hold:
    """Keep this event and all later ones of the object back; others overtake them."""

    at: Told
    seconds: float
    """Then they are told, in order. A restart of the operator ends it."""


@dataclass(frozen=True)
class Drop:
    """Tell the object's next event in place of this one.

    An API server loses no event that nothing follows: where none comes in time, this one is told.
    """

    at: Told


@dataclass(frozen=True)
class Replay:
    """Tell this event a second time, right after a later one, as a lagging server does."""

    at: Told
    after: Told


@dataclass(frozen=True)
class OldList:
    """After the first kill, answer the informer's first lists as of an earlier moment.

    The resourceVersion is of the moment just before ``as_of`` was told or committed. The watches
    that follow tell what came since, ``seconds`` later.
    """

    resources: tuple[str, ...]
    """Plurals; every watched one where empty."""
    as_of: Point
    seconds: float = 0.0
    audited: bool = False
    """Whether the operator's audits (all objects, metadata only) are as old, for as long.

    What is read of one object or one owner never is: without a resourceVersion the API server
    answers with what stands.
    """


@dataclass(frozen=True)
class Cut:
    """End the watch stream in place of this event: the client asks anew from where it was."""

    at: Told


@dataclass(frozen=True)
class Stall:
    """Let nothing through on this resource's watch stream from this event on, for a time."""

    at: Told
    seconds: float


Fault = Kill | Refuse | LoseReply | Hold | Drop | Replay | OldList | Cut | Stall
KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (Kill, Refuse, LoseReply, Hold, Drop, Replay, OldList, Cut, Stall)
}
_POINTS: Final[dict[str, type[Any]]] = {"Write": Write, "Told": Told}


def point(fault: Fault) -> Point:
    """The point at which a fault happens: of two, the later one that it acts on."""
    if isinstance(fault, Replay):
        return fault.after
    return fault.as_of if isinstance(fault, OldList) else fault.at


class PlanError(Exception):
    """A plan's JSON names no fault, or not as its type wants."""


@dataclass(frozen=True)
class Plan:
    """What befalls one run of one scenario."""

    scenario: str
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        """One line of JSON; ``from_json`` reads it."""
        faults = [{"do": type(fault).__name__, **_object(fault)} for fault in self.faults]
        return json.dumps({"scenario": self.scenario, "faults": faults}, sort_keys=True)


def from_json(text: str) -> Plan:
    """Read a plan; raises PlanError with the number of the fault that can't be read."""
    try:
        body = json.loads(text)
        scenario, raw = body["scenario"], body.get("faults", [])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError(f'not a plan ({{"scenario": …, "faults": […]}}): {error!r}') from None
    faults = []
    for number, one in enumerate(raw):
        try:
            fields = dict(one)
            faults.append(_fault(KINDS[fields.pop("do")], fields))
        except (KeyError, TypeError, ValueError) as error:
            raise PlanError(f"faults[{number}]: {error!r}; one of {', '.join(KINDS)}") from None
    return Plan(scenario, tuple(faults))


def _object(fault: Fault) -> dict[str, Any]:
    """A fault's fields; its points carry what they are."""
    found = {}
    for field in dataclasses.fields(fault):
        value = getattr(fault, field.name)
        if isinstance(value, Write | Told):
            value = {"point": type(value).__name__, **dataclasses.asdict(value)}
        found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _fault(kind: type[Any], fields: dict[str, Any]) -> Fault:
    for field, value in fields.items():
        if isinstance(value, dict):
            point = dict(value)
            fields[field] = _POINTS[point.pop("point")](**point)
        elif field == "moment":
            fields[field] = Moment(value)
        elif isinstance(value, list):
            fields[field] = tuple(value)
    made: Fault = kind(**fields)
    return made
