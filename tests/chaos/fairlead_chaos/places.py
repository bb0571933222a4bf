"""Where ways are gone: a namespace for services, and one for each stop of jobs.

A place is a scenario like any other, whose story is a walk. It says how pods end there, what
stands there before the walk begins, and what others do there meanwhile.
"""

import asyncio
import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition
from fairlead_api.finetunestatus import Stage
from fairlead_chaos import jobways, transitions
from fairlead_chaos.jobpictures import JOBS
from fairlead_chaos.pictures import SERVICES
from fairlead_chaos.scenario import Fate, Hands, Manifest, Scenario
from fairlead_chaos.scenarios import ends, jobs, manifests, states
from fairlead_chaos.subject import Picture, Subject
from fairlead_chaos.transitions import Way
from fairlead_chaos.walk import Access, Walk
from fairlead_operator import kube
from fairlead_operator.kube import Kind

_WAYS: Final = "ways"
_QUEUE_SECONDS: Final = 0.5
Listing = Callable[[Kind, str], Awaitable[Sequence[Manifest]]]
"""Whole objects of a kind in a namespace."""
Other = Callable[[Access], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Place:
    """A kind of namespace in which ways are gone."""

    name: str
    subject: Subject
    fates: tuple[Fate, ...]

    @property
    def others(self) -> "tuple[Other, ...]":
        """What others do there as long as the walk lasts."""
        return (_queue,) if self is _JOBS[jobways.QUEUED] else ()

    def scenario(
        self,
        listing: Listing,
        batch: Sequence[Way],
        scratch: dict[str, Picture],
        found: dict[str, list[str]],
    ) -> Scenario:
        """The walk of these ways: what is wrong with each one's end comes into ``found``."""

        async def story(hands: Hands) -> None:
            access = Access(hands.create, hands.patch, lambda kind: listing(kind, hands.namespace))
            if self.subject is SERVICES:
                await _prepare(hands)
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(other(access)) for other in self.others]
                found.update(await Walk(access, self.subject).go(batch, scratch))
                for other in beside:
                    other.cancel()

        return Scenario(self.name, self.subject.kind.kind, story, self.fates)


def _place(name: str, subject: Subject, fates: Sequence[Fate]) -> Place:
    return Place(name, subject, tuple(dataclasses.replace(one, scenario=name) for one in fates))


_WELL: Final = [fate for stage in Stage for fate in ends.always_succeeds(stage)]
_SERVICES: Final = _place(_WAYS, SERVICES, _WELL)
_JOBS: Final = {
    context: _place(f"{_WAYS}-{context}", JOBS, stop.fates)
    for context, stop in jobways.STOPS.items()
}
FATES: Final = tuple(fate for place in (_SERVICES, *_JOBS.values()) for fate in place.fates)
"""Of the pods of all places."""


def of(way: Way) -> Place:
    """Where a way is gone."""
    return _JOBS.get(way.context, _SERVICES)


def batches(ways: Iterable[Way], most: int) -> Iterator[list[Way]]:
    """The ways by their places, a few at a time, so that each finds what it is compared with.

    The one job that nobody touches is made before the jobs at other places that need it.
    """
    by_place: dict[str, list[Way]] = defaultdict(list)
    for way in ways:
        by_place[of(way).name].append(way)
    services = by_place.pop(_SERVICES.name, [])
    of_jobs = [way for chosen in by_place.values() for way in chosen]
    first = [jobways.BASIS] if jobways.BASIS in chain(*map(JOBS.needed, of_jobs)) else []
    for chosen in (services, first, *by_place.values()):
        for start in range(0, len(chosen), most):
            yield chosen[start : start + most]


async def _prepare(hands: Hands) -> None:
    """Make the jobs and the gateways that services refer to."""
    await hands.create(manifests.gateway(transitions.EDGE))
    await hands.create(manifests.gateway(transitions.OTHER, port=8080))
    await hands.create(jobs.finetunejob(transitions.TRAINED))
    await hands.create(jobs.finetunejob(transitions.UNTRAINED, suspend=True))
    for name, said in (
        (transitions.TRAINED, FineTuneJobCondition.COMPLETE),
        (transitions.UNTRAINED, FineTuneJobCondition.SUSPENDED),
    ):
        await hands.until(kube.FINETUNEJOB, name, states.says(said, "True"), f"{name}: {said}")


async def _queue(access: Access) -> None:
    """Suspend the first attempt of every job's training, as a queue does that has no room."""
    while True:
        for job in await access.list(kube.JOB):
            name = job["metadata"]["name"]
            is_first = name.endswith(names.stage_job_name("", Stage.TRAIN, 1))
            if is_first and not job["spec"].get("suspend"):
                with contextlib.suppress(kube.NotFound):  # deleted meanwhile
                    await access.patch(kube.JOB, name, {"spec": {"suspend": True}})
        await asyncio.sleep(_QUEUE_SECONDS)
