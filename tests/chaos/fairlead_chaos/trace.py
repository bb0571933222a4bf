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
NOT_HEARD: Final = frozenset({"namespaces", "customresourcedefinitions"})
"""What the informer watches of the cluster itself: other runs' doings, relayed as they come."""


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
    """Whether the reply's resourceVersion was not yet the object's when the request left.

    False only where a reply of 2xx shows it: a refused request is no write without effect.
    """
    answered: str = "relayed"
    """What the operator got: relayed, refused, lost, nothing (it was killed), or open (not yet)."""


@dataclass(frozen=True)
class Heard:
    """A watch event that came from the API server, at the moment it came.

    A stream that goes on from an earlier version tells events anew: they are heard again, with
    the ``told`` that they had.
    """

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
    """For each fault that happened its point: ``at``, ``after`` of a Replay, ``as_of`` of an
    OldList."""
    watched: list[tuple[int, str]] = field(default_factory=list)
    """Each watch stream that began: incarnation and plural."""
    apart: list[Sent] = field(default_factory=list)
    """Mutating requests that are not counted, without a number (0)."""

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
