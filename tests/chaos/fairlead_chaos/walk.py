"""Goes the ways of ``transitions`` on a real API server, many services at once in one namespace.

Reads and writes by the functions it is given, as a user; the operator is whoever serves the
namespace. A service is edited as soon as it has come to rest in a state, or at once where the way
is hurried; the end is compared with pictures of services that were made so.
"""

import asyncio
import functools
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fairlead_api import names
from fairlead_chaos import pictures, transitions
from fairlead_chaos.transitions import Good, Manifest, State, Way
from fairlead_operator import kube
from fairlead_operator.kube import Kind

ArrivedT = TypeVar("ArrivedT")
PICTURED: Final = (kube.DEPLOYMENT, kube.SERVICE)
LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 240.0
"""Longest for one state; two busy cores start pods of a hundred services meanwhile."""


QUIET_LOOKS: Final = 15
"""Longer than what served before stays after traffic left it (Options.retire_seconds)."""


@dataclass(frozen=True)
class Stuck:
    """A service that never came to rest in a state."""

    why: str


@dataclass(frozen=True)
class Access:
    """What a walk needs of the API server, in its namespace."""

    create: Callable[[Manifest], Awaitable[Any]]
    patch: Callable[[Kind, str, Manifest], Awaitable[Any]]
    """JSON merge patch."""
    list: Callable[[Kind], Awaitable[Sequence[Manifest]]]
    """Whole objects."""


@dataclass
class _Look:
    """The namespace as last listed."""

    services: dict[str, Manifest] = field(default_factory=dict)
    children: dict[str, list[Manifest]] = field(default_factory=dict)

    def picture(self, name: str) -> Manifest:
        return pictures.picture(self.services[name], self.children.get(name, []))


class Walk:
    """One namespace's services, each on a way of its own."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._look, self._looked = _Look(), asyncio.Condition()

    async def go(self, ways: Sequence[Way], scratch: dict[str, Manifest]) -> dict[str, list[str]]:
        """Go all ways at once; what is wrong with each one's end, by its name.

        ``scratch`` holds the pictures known so far; missing ones are made beside, and kept there.
        """
        missing = {
            made.name: made for way in ways for made in _needed(way) if made.name not in scratch
        }
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._keep_looking())  # its failure ends all
            making = [
                group.create_task(_tried(self._made(f"made-{number:03d}x", way)))
                for number, way in enumerate(missing.values())
            ]
            going = [
                group.create_task(_tried(self._gone(f"gone-{number:03d}x", way)))
                for number, way in enumerate(ways)
            ]
            made, gone = await asyncio.gather(*making), await asyncio.gather(*going)
            pictured = zip(missing, made, strict=True)
            scratch |= {name: found for name, found in pictured if not isinstance(found, Stuck)}
            arrived = zip(gone, ways, strict=True)
            ends = await asyncio.gather(*(self._end(name, way, scratch) for name, way in arrived))
            looking.cancel()
        return {way.name: end for way, end in zip(ways, ends, strict=True)}

    async def _made(self, name: str, way: Way) -> Manifest:
        """The picture of a service that is made in the way's only state."""
        await self._create(name, transitions.spec(way.end, way.context))
        await self._until(name, functools.partial(_rests, way.end), way)
        return await self._quiet(name)

    async def _gone(self, name: str, way: Way) -> str:
        """Bring a service through all states of a way but the rest at its end."""
        spec = transitions.spec(way.states[0], way.context)
        await self._create(name, spec)
        for before, after in zip(way.states, way.states[1:], strict=False):
            if not way.hurried:
                await self._until(name, functools.partial(_rests, before), way)
            wanted = transitions.spec(after, way.context)
            change = {"spec": transitions.edit(spec, wanted)}
            await self._access.patch(kube.MODELSERVICE, name, change)
            spec = wanted
        return name

    async def _end(self, name: "str | Stuck", way: Way, scratch: dict[str, Manifest]) -> list[str]:
        """What is wrong with the end; nothing where all stays well while anything may move."""
        if isinstance(name, Stuck):
            return [name.why]
        if lacking := [made.name for made in _needed(way) if made.name not in scratch]:
            return [f"nothing to compare with: {one} never came to rest" for one in lacking]
        deadline, times, wrong = time.monotonic() + PATIENCE_SECONDS, 0, ["not told of yet"]
        while times < QUIET_LOOKS and (not wrong or time.monotonic() < deadline):
            await self._next_look()
            service = self._look.services.get(name)
            if service is not None and _is_current(service):
                wrong = pictures.faults(way, scratch | {way.name: self._look.picture(name)})
            times = 0 if wrong else times + 1
        return wrong

    async def _quiet(self, name: str) -> Manifest:
        """A service's picture once a few looks show the same: what goes, goes a little later."""
        last, times = None, 0
        while times < QUIET_LOOKS:
            await self._next_look()
            now = self._look.picture(name)
            times, last = (times + 1 if now == last else 0), now
        assert last is not None
        return last

    async def _until(self, name: str, holds: Callable[[Manifest], bool], way: Way) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while name not in self._look.services or not holds(self._look.services[name]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{way.name}: {name} never came to rest on its way")
            await self._next_look()

    async def _create(self, name: str, spec: Manifest) -> None:
        head = {"name": name}
        body = {"apiVersion": names.API_VERSION, "kind": names.MODELSERVICE, "metadata": head}
        await self._access.create({**body, "spec": spec})

    async def _keep_looking(self) -> None:
        while True:
            services = await self._access.list(kube.MODELSERVICE)
            children: dict[str, list[Manifest]] = defaultdict(list)
            for kind in PICTURED:
                for child in await self._access.list(kind):
                    owner = child["metadata"].get("labels", {}).get(names.LABEL_MODELSERVICE, "")
                    children[owner].append({"kind": kind.kind, **child})
            named = {service["metadata"]["name"]: service for service in services}
            async with self._looked:
                self._look = _Look(named, dict(children))
                self._looked.notify_all()
            await asyncio.sleep(LOOK_SECONDS)

    async def _next_look(self) -> None:
        async with self._looked:
            await self._looked.wait()


async def _tried(bringing: Coroutine[Any, Any, ArrivedT]) -> ArrivedT | Stuck:
    """Where it led; one that is stuck must not end the others."""
    try:
        return await bringing
    except TimeoutError as error:
        return Stuck(str(error))


def _needed(way: Way) -> Iterable[Way]:
    """The services made from scratch with which a way's end is compared."""
    yield transitions.scratch(way)
    good = [state for state in way.states if state.good is Good.ALWAYS]
    if way.end.good is Good.NEVER and good:
        yield Way((good[-1],), way.context)


def _is_current(service: Manifest) -> bool:
    seen = (service.get("status") or {}).get("observedGeneration")
    return bool(seen == service["metadata"]["generation"])


def _rests(state: State, service: Manifest) -> bool:
    """Whether a service is all that it can be in a state."""
    if not _is_current(service):
        return False
    status = service["status"]
    conditions = {one["type"]: one for one in status["conditions"]}
    if state.good is Good.NEVER:
        return bool(status.get("candidate")) or conditions["Ready"]["status"] == "False"
    is_rolled_out = conditions["Progressing"]["reason"] == "RolledOut"
    return is_rolled_out and status["phase"] in ("Ready", "ScaledToZero")
