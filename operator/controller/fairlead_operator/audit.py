"""Compares the cache with listings: finds what the watches did not tell.

A watch that lists anew never tells of deletions in between, and a watch can die without a word.
The first is mended here; the second ends the process, since a restart is the way out. Reads
metadata only.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fairlead_operator import kube
from fairlead_operator.intake import Intake
from fairlead_operator.kube import Cluster, Kind
from fairlead_operator.store import Store

logger: Final = logging.getLogger(__name__)
GRACE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1

Place = tuple[str, str, str]
"""Namespace, name and uid of an object."""


class WatchDead(Exception):
    """The API server has objects that no watch told of in time."""


class Audit:
    """Checks the cache against the API server."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        intake: Intake,
        namespaces: Sequence[str] = (),
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._cluster, self._store, self._intake = cluster, store, intake
        self._scopes: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._grace_seconds = grace_seconds

    async def run(self) -> None:
        """Bring the cache level with a listing of now; raises WatchDead, ClusterError."""
        for kind in kube.WATCHED:
            if kind in kube.OPTIONAL and not await self._cluster.serves(kind):
                continue
            try:
                await self._check(kind)
            except kube.NotFound:
                if kind not in kube.OPTIONAL:
                    raise
                logger.info("%s is served no more: nothing to audit", kind.kind)

    async def forever(self, period_seconds: float) -> None:
        """Audit each period and soon after a watch listed anew; resync over the next period.

        Raises WatchDead; a call that is refused only puts the audit off.
        """
        while True:
            try:
                await asyncio.wait_for(self._intake.listed_again.wait(), period_seconds)
                await asyncio.sleep(min(5.0, period_seconds))  # let the listing end
            except TimeoutError:
                pass
            self._intake.listed_again.clear()
            try:
                await self.run()
            except kube.ClusterError as error:
                logger.warning("the cache could not be audited: %s", error)
                continue
            self._intake.resync_within(period_seconds)

    async def _check(self, kind: Kind) -> None:
        held_before = self._store.versions(kind)
        listed: dict[Place, int] = {}
        for scope in self._scopes:
            for manifest in await self._cluster.list_heads(kind, scope):
                head = kube.metadata(manifest)
                place = (head.get("namespace", ""), head["name"], head["uid"])
                listed[place] = kube.version(manifest)
        held = self._store.versions(kind)
        for place in held_before.keys() - listed.keys():
            if held.get(place) == held_before[place]:
                logger.info("%s %s/%s went away untold", kind.kind, place[0], place[1])
                self._intake.forget(kind, *place)
        await self._wait_for(kind, listed)

    async def _wait_for(self, kind: Kind, listed: dict[Place, int]) -> None:
        """Return once the watch has told of everything that was listed.

        A watch that is late gets more time for as long as it tells something: at a cold start it
        lists tens of thousands of objects.
        """
        loop = asyncio.get_running_loop()
        fewest, deadline = len(listed) + 1, 0.0
        while missing := self._missing(kind, listed):
            if len(missing) < fewest:
                fewest, deadline = len(missing), loop.time() + self._grace_seconds
            elif loop.time() > deadline:
                for place in missing:
                    await self._insist(kind, place, listed[place])
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _missing(self, kind: Kind, listed: dict[Place, int]) -> list[Place]:
        held = self._store.versions(kind)
        return [
            place
            for place, version in listed.items()
            if held.get(place, -1) < version
            and not self._store.is_settled(kind, *place[:2], version)
        ]

    async def _insist(self, kind: Kind, place: Place, version: int) -> None:
        """Raise WatchDead unless the object is gone by now."""
        namespace, name, uid = place
        try:
            live = await self._cluster.get(kind, namespace, name)
        except kube.NotFound:
            return
        if kube.metadata(live).get("uid") == uid:
            raise WatchDead(
                f"no watch told of {kind.kind} {namespace}/{name} at resourceVersion {version}"
                f" nor of others within {self._grace_seconds:.0f} s;"
                " leaving, so that a restart lists anew"
            )
