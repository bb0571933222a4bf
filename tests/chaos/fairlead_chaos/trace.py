"""What one run did, as the proxy saw it: every mutating request and every watch event, numbered.

Pure data. Reference traces are where plans come from; a disturbed run's trace tells whether the
plan's points were reached and how often each object was created and deleted.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from fairlead_chaos.faults import Point, Told, Write

NOT_COUNTED: Final = frozenset({"leases", "tokenreviews"})
"""Heartbeats and questions: they are nobody's resource and come with time."""


@dataclass(frozen=True)
class Sent:
    """A mutating request that left the operator."""

    number: int
    """Place among the run's mutating requests, from 1; heartbeats (``NOT_COUNTED``) have none."""
    write: Write
    code: int
    """HTTP status that the API server gave; 0 where it never saw the request."""
    seconds: float
    """Since the run began."""
    incarnation: int
    """Which process of the operator sent it, from 1."""
    is_new: bool = False
    """Whether it made an object: a create, or a server-side apply answered 201."""
    has_effect: bool = True
    """Whether the reply's resourceVersion was not yet the object's when the request left."""
    answered: str = "relayed"
    """What the operator got: relayed, refused, lost, or nothing (it was killed)."""


@dataclass(frozen=True)
class Heard:
    """A watch event that came from the API server."""

    number: int
    told: Told
    version: str
    seconds: float
    incarnation: int


@dataclass
class Trace:
    """One run's requests and events in order."""

    sent: list[Sent] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    reached: list[Point] = field(default_factory=list)
    """The points of the plan at which a fault happened."""

    def created_and_deleted(self) -> Counter[tuple[str, str, str]]:
        """How often each object was created and deleted: (verb, resource, name)."""
        counted: Counter[tuple[str, str, str]] = Counter()
        for one in self.sent:
            if not 200 <= one.code < 300 or one.write.resource in NOT_COUNTED:
                continue
            if one.is_new:
                counted["create", one.write.resource, one.write.name] += 1
            elif one.write.verb == "delete":
                counted["delete", one.write.resource, one.write.name] += 1
        return counted
