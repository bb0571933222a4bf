"""A simulated gateway controller: it stands where Envoy Gateway stands, and routes nothing.

It tells an HTTPRoute what a real controller tells it, and by the same rules: of each Gateway of
its class whether it takes the route in (Accepted), whether the Service that it leads to is there
(ResolvedRefs), and as of which generation. It knows what stories use: listeners that have a name
and may have a host name, Gateways and routes of one namespace. May write the status of routes in
the namespaces that it is given, and nothing else. Where it can't go on nobody waits any more.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from fairlead_api import names
from fairlead_chaos import admin as administration
from fairlead_chaos.admin import BUSY_SECONDS, GATEWAY_CLASS, Admin
from fairlead_chaos.scenario import Manifest
from fairlead_operator import kube

CLASS: Final = "fairlead"
"""Of the Gateways that it answers for; the chart's own Gateway is of it."""
CONTROLLER: Final = f"{names.GROUP}/simulated-gateway-controller"
Problem = tuple[str, str] | None
"""Reason and message of a condition that is False; None where it is True."""

_WELL: Final = {
    "Accepted": ("Accepted", "Route is accepted"),
    "ResolvedRefs": ("ResolvedRefs", "Resolved all the Object references for the Route"),
}
_PASSING: Final = (kube.ClusterError, aiohttp.ClientError, TimeoutError)
"""What ends a watch or an answer that may succeed when it is tried again."""
_NO_LISTENER: Final = ("NoMatchingParent", "No listeners match this parent ref")
_NO_HOSTNAME: Final = (
    "NoMatchingListenerHostname",
    "There were no hostname intersections between the HTTPRoute and this parent ref's Listener(s)",
)


@contextlib.asynccontextmanager
async def running(admin: Admin, is_mine: Callable[[str], bool]) -> AsyncIterator[None]:
    """Answer the routes of these namespaces while the context is open."""
    await admin.ensure(_gateway_class())
    controller = _Controller(admin, is_mine)
    watched = (kube.HTTP_ROUTE, kube.GATEWAY, kube.SERVICE)
    tasks = [asyncio.create_task(controller.listen(kind)) for kind in watched]
    tasks.append(asyncio.create_task(controller.work()))
    for task in tasks:
        task.add_done_callback(functools.partial(_tell_of_end, admin))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):  # it ended by itself: no run has gone well since
            raise end


def _tell_of_end(admin: Admin, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        admin.end_waits(error)


def _gateway_class() -> Manifest:
    return {
        "apiVersion": GATEWAY_CLASS.api_version,
        "kind": GATEWAY_CLASS.kind,
        "metadata": {"name": CLASS},
        "spec": {"controllerName": CONTROLLER, "description": "Simulated: it routes nothing."},
    }


class _Controller:
    """Looks at a namespace again whenever something in it may change the answer."""

    def __init__(self, admin: Admin, is_mine: Callable[[str], bool]) -> None:
        self._admin, self._is_mine = admin, is_mine
        self._routed: set[str] = set()
        """Namespaces that have had a route: elsewhere Services change nothing."""
        self._dirty: set[str] = set()
        self._woken = asyncio.Event()

    async def listen(self, kind: kube.Kind) -> None:
        """Hear of every object of a kind, for ever."""
        while True:
            with contextlib.suppress(*_PASSING):
                listed = await self._admin.listing(kind, accept=administration.HEADS)
                for each in listed["items"] or []:
                    self._hear(kind, each["metadata"]["namespace"])
                since = {"resourceVersion": listed["metadata"]["resourceVersion"]}
                async with aclosing(self._admin.watch(kind, None, since)) as events:
                    async for _, found in events:
                        self._hear(kind, found["metadata"]["namespace"])
            await asyncio.sleep(BUSY_SECONDS)

    def _hear(self, kind: kube.Kind, namespace: str) -> None:
        if kind == kube.HTTP_ROUTE and self._is_mine(namespace):
            self._routed.add(namespace)
        if namespace in self._routed:
            self._look_at(namespace)

    def _look_at(self, namespace: str) -> None:
        self._dirty.add(namespace)
        self._woken.set()

    async def work(self) -> None:
        """Answer wherever something has changed, for ever."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            chosen, self._dirty = self._dirty, set()
            await asyncio.gather(*map(self._try_to_answer, chosen))

    async def _try_to_answer(self, namespace: str) -> None:
        """Answer, or look at the namespace again in a moment."""
        try:
            await self._answer(namespace)
        except kube.Invalid:  # an answer that will never be taken
            raise
        except _PASSING:
            await asyncio.sleep(BUSY_SECONDS)
            self._look_at(namespace)

    async def _answer(self, namespace: str) -> None:
        """Write the status of the namespace's routes where it isn't what it should be."""
        kinds = (kube.HTTP_ROUTE, kube.GATEWAY, kube.SERVICE)
        lists = await asyncio.gather(*(self._admin.listing(kind, namespace) for kind in kinds))
        routes, gateways, services = (each["items"] or [] for each in lists)
        ours = {one["metadata"]["name"]: one for one in gateways if _is_ours(one)}
        there = {one["metadata"]["name"] for one in services}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for route in routes:
            said = (route.get("status") or {}).get("parents") or []
            says = parents(route, ours, there, now)
            if says != said:
                await self._write(route, says)

    async def _write(self, route: Manifest, says: list[Manifest]) -> None:
        """Write the status of the route as it was read: another one's change is looked at anew."""
        head = route["metadata"]
        unchanged = {"uid": head["uid"], "resourceVersion": head["resourceVersion"]}
        change = {"metadata": unchanged, "status": {"parents": says}}
        with contextlib.suppress(kube.Conflict, kube.NotFound):  # its event is on the way
            await self._admin.patch(
                kube.HTTP_ROUTE, head["namespace"], head["name"], change, "status"
            )


def _is_ours(gateway: Manifest) -> bool:
    return bool(gateway["spec"]["gatewayClassName"] == CLASS)


def parents(
    route: Manifest, gateways: Mapping[str, Manifest], services: Collection[str], now: str
) -> list[Manifest]:
    """What a route is told, by each Gateway of ours that it names.

    Args:
        route: The HTTPRoute with the status that it has.
        gateways: Our Gateways of its namespace, by name.
        services: Names of the namespace's Services.
        now: Of what is told anew; of a condition that keeps its status the time stays.
    """
    head, spec = route["metadata"], route["spec"]
    said = (route.get("status") or {}).get("parents") or []
    found = []
    for ref in spec.get("parentRefs") or []:
        gateway = gateways.get(ref["name"])
        if gateway is None or ref.get("namespace", head["namespace"]) != head["namespace"]:
            continue
        problems: dict[str, Problem] = {
            "Accepted": _refusal(ref, spec, gateway),
            "ResolvedRefs": _missing(spec, services),
        }
        before = {
            one["type"]: one
            for answer in said
            if answer["parentRef"] == ref
            for one in answer["conditions"]
        }
        conditions = [
            _condition(type_, problem, head["generation"], before.get(type_, {}), now)
            for type_, problem in problems.items()
        ]
        found.append({"parentRef": ref, "controllerName": CONTROLLER, "conditions": conditions})
    return found


def _condition(
    type_: str, problem: Problem, generation: int, before: Mapping[str, Any], now: str
) -> Manifest:
    reason, message = problem or _WELL[type_]
    status = "False" if problem else "True"
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"]
        if before.get("status") == status
        else now,
    }


def _refusal(ref: Manifest, spec: Manifest, gateway: Manifest) -> Problem:
    """Why no listener takes the route in."""
    wanted = ref.get("sectionName")
    listeners = [one for one in gateway["spec"]["listeners"] if wanted in (None, one["name"])]
    if not listeners:
        return _NO_LISTENER
    hostnames = spec.get("hostnames") or []
    is_met = any(_meets(one.get("hostname"), hostnames) for one in listeners)
    return None if is_met else _NO_HOSTNAME


def _meets(hostname: str | None, hostnames: Collection[str]) -> bool:
    """Whether a listener's host name, which may begin with ``*``, is for one of these."""
    if not hostname or not hostnames:
        return True
    if hostname.startswith("*"):
        return any(one.endswith(hostname[1:]) for one in hostnames)
    return hostname in hostnames


def _missing(spec: Manifest, services: Collection[str]) -> Problem:
    """Which Service the route leads to that isn't there."""
    missing = sorted(set(_backends(spec)) - set(services))
    return ("BackendNotFound", f"Service {missing[0]} not found") if missing else None


def _backends(spec: Manifest) -> Iterator[str]:
    for rule in spec.get("rules") or []:
        for backend in rule.get("backendRefs") or []:
            yield backend["name"]
