"""Goes ways between specs on a real API server, many resources at once in one namespace.

Reads and writes by the functions it is given, as a user; the operator is whoever serves the
namespace. A resource is edited as soon as it has come to rest in a state, or at once where the way
is hurried; the end is compared with pictures of resources that were made so.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fairlead_chaos import pictures, transitions
from fairlead_chaos.findings import Finding
from fairlead_chaos.subject import Picture, Subject
from fairlead_chaos.transitions import Manifest, Way
from fairlead_operator.kube import Kind

ArrivedT = TypeVar("ArrivedT")
LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 240.0
"""Longest for one state; two busy cores start pods of a hundred services meanwhile."""
QUIET_LOOKS: Final = 15
"""Longer than what served before stays after traffic left it (Options.retire_seconds), and than a
job waits before it tries again (Options.retry_delay)."""

_UNTOLD: Final = ["nobody tells of its newest spec"]


@dataclass(frozen=True)
class Stuck:
    """A resource that never came to rest in a state."""

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

    resources: dict[str, Manifest] = field(default_factory=dict)
    children: dict[str, list[Manifest]] = field(default_factory=dict)


class Walk:
    """One namespace's resources of a kind, each on a way of its own."""

    def __init__(self, access: Access, subject: Subject) -> None:
        self._access, self._subject = access, subject
        self._look, self._looked = _Look(), asyncio.Condition()

    async def go(self, ways: Sequence[Way], scratch: dict[str, Picture]) -> dict[str, list[str]]:
        """Go all ways at once; what is wrong with each one's end, by its name.

        ``scratch`` holds the pictures known so far; missing ones are made beside, and kept there.
        """
        needed = {made.name: made for way in ways for made in self._subject.needed(way)}
        missing = {name: made for name, made in needed.items() if name not in scratch}
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._keep_looking())  # its failure ends all
            making = [
                group.create_task(_tried(self._made(f"made-{number:03d}x", way)))
                for number, way in enumerate(missing.values())
            ]
            going = [
                group.create_task(_tried(self._gone(name_of(number), way)))
                for number, way in enumerate(ways)
            ]
            made, gone = await asyncio.gather(*making), await asyncio.gather(*going)
            pictured = zip(missing, made, strict=True)
            stuck = {}
            for name, found in pictured:
                if isinstance(found, Stuck):
                    stuck[name] = found.why
                else:
                    scratch[name] = found
            arrived = zip(gone, ways, strict=True)
            ends = await asyncio.gather(
                *(self._end(name, way, scratch, stuck) for name, way in arrived)
            )
            looking.cancel()
        return {way.name: end for way, end in zip(ways, ends, strict=True)}

    async def _made(self, name: str, way: Way) -> Picture:
        """The picture of a resource that is made in the way's only state."""
        await self._create(name, self._subject.spec(way.end, way.context))
        await self._until_rests(name, way)
        return await self._quiet(name)

    async def _gone(self, name: str, way: Way) -> str:
        """Bring a resource through all states of a way but the rest at its end."""
        spec = self._subject.spec(way.states[0], way.context)
        await self._create(name, spec)
        for number, after in enumerate(way.states[1:], 1):
            if not way.hurried or (number == 1 and self._subject.stands_first):
                await self._until_rests(name, way.so_far(number))
            wanted = self._subject.spec(after, way.context)
            change = {"spec": transitions.edit(spec, wanted)}
            await self._access.patch(self._subject.kind, name, change)
            spec = wanted
        return name

    async def _end(
        self, name: "str | Stuck", way: Way, scratch: dict[str, Picture], stuck: dict[str, str]
    ) -> list[str]:
        """What is wrong with the end; nothing where all stays well while anything may move."""
        if isinstance(name, Stuck):
            return [name.why]
        needed = [made.name for made in self._subject.needed(way)]
        if lacking := [one for one in needed if one not in scratch]:
            return [f"nothing to compare with: {one}: {stuck[one]}" for one in lacking]
        deadline, times, wrong = time.monotonic() + PATIENCE_SECONDS, 0, _UNTOLD
        while times < QUIET_LOOKS and (not wrong or time.monotonic() < deadline):
            await self._next_look()
            if (found := self._picture(name)) is None:
                wrong = _UNTOLD
            else:
                wrong = self._subject.faults(way, scratch | {way.name: found})
            times = 0 if wrong else times + 1
        return wrong

    async def _quiet(self, name: str) -> Picture:
        """Its picture once a few looks show the same: what goes, goes a little later."""
        deadline, last, times = time.monotonic() + PATIENCE_SECONDS, None, 0
        while last is None or times < QUIET_LOOKS:
            await self._next_look()
            now = self._picture(name)
            if (now is None or now != last) and time.monotonic() > deadline:
                changes = pictures.differences(last, now) or _UNTOLD
                raise TimeoutError(f"{name} changes again and again: {'; '.join(changes)}")
            times, last = (times + 1 if now == last else 0), now
        return last

    async def _until_rests(self, name: str, way: Way) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self._picture(name)) is None or not self._subject.rests(way, found):
            if time.monotonic() > deadline:
                status = found and found.get("status")
                raise TimeoutError(f"{name} never came to rest on its way: {way.name}: {status}")
            await self._next_look()

    def _picture(self, name: str) -> Picture | None:
        """As last seen; None where nobody has told yet of the newest spec."""
        found = self._look.resources.get(name)
        if found is None or not _is_current(found):
            return None
        return self._subject.picture(found, self._look.children.get(name, []))

    async def _create(self, name: str, spec: Manifest) -> None:
        kind, head = self._subject.kind, {"name": name}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": head}
        await self._access.create({**body, "spec": spec})

    async def _keep_looking(self) -> None:
        while True:
            resources = await self._access.list(self._subject.kind)
            children: dict[str, list[Manifest]] = defaultdict(list)
            for kind in self._subject.children:
                for child in await self._access.list(kind):
                    owner = child["metadata"].get("labels", {}).get(self._subject.label, "")
                    children[owner].append({"kind": kind.kind, **child})
            named = {each["metadata"]["name"]: each for each in resources}
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
        return Stuck(str(error) or repr(error))


def name_of(number: int) -> str:
    """The name of the resource that goes a walk's way of that number."""
    return f"gone-{number:03d}x"


def by_way(ways: Sequence[Way], wrong: Iterable[Finding]) -> dict[str, list[str]]:
    """What was wrong meanwhile, by the way whose resource it names; else under all together."""
    together = f"{ways[0].name} … {ways[-1].name}"
    named = {name_of(number): way.name for number, way in enumerate(ways)}
    found: dict[str, list[str]] = {}
    for line in map(str, wrong):
        whose = next((way for name, way in named.items() if name in line), together)
        found.setdefault(whose, []).append(line)
    return found


def _is_current(resource: Manifest) -> bool:
    seen = (resource.get("status") or {}).get("observedGeneration")
    return bool(seen == resource["metadata"]["generation"])
