"""Which revision takes the traffic, and which one is to follow it.

Two facts are kept in the status: stable, and when traffic was seen to go there. Everything else
follows from them and from what is seen, so a crash between writing the fact and acting on it costs
nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fairlead_api.modelservice import ModelService
from fairlead_operator.serving.deployment import Health
from fairlead_operator.serving.revision import Revision


@dataclass(frozen=True)
class Rollout:
    """Where a ModelService stands between two revisions."""

    stable: str = ""
    """Takes the traffic; empty before there was any revision."""
    stable_time: datetime | None = None
    """When traffic was first seen to go there; None while it may still go elsewhere."""
    candidate: Revision | None = None
    """Is to become stable once all its replicas serve."""


def decide(
    service: ModelService,
    wanted: Revision | None,
    known: Iterable[Revision],
    health: Mapping[str, Health],
) -> Rollout:
    """Move on by at most one step.

    ``wanted`` is what the spec asks for, None where that can't be told; then stable stays.
    """
    status = service.status
    if wanted is None or wanted.name == status.stable:
        return Rollout(status.stable, status.stable_time)
    stable = health.get(status.stable, Health())
    candidate = health.get(wanted.name, Health())
    kept = any(revision.name == status.stable for revision in known)
    # A candidate waits only for what has served, so its having waited is our memory of that: a
    # Deployment that somebody deleted comes back from its record without Kubernetes' own.
    has_served = stable.proven or status.ready_replicas > 0 or bool(status.candidate)
    if (
        not (kept or stable.seen)  # the first revision, or nothing left of stable to protect
        or candidate.complete
        or _is_idle(stable, has_served, candidate)
    ):
        return Rollout(wanted.name)
    return Rollout(status.stable, status.stable_time, wanted)


def _is_idle(stable: Health, has_served: bool, candidate: Health) -> bool:
    """Whether stable answers nobody, and waiting for it would only hold the candidate back.

    A stable that never served may hold the very resources that the candidate needs; one that
    served once gets the time to recover, unless the candidate can answer already.
    """
    if stable.ready > 0:
        return False
    return not has_served or candidate.available > 0
