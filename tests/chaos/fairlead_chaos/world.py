"""``Hands`` over the real API server, as administrator and past the proxy.

May read and change what a user or an administrator may. Of the operator's process it knows only
how to have it restarted. Waiting is by watch: a state is seen if it lasts, and costs no polling.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

import aiohttp

from fairlead_chaos import ground
from fairlead_chaos.admin import NODE, Admin
from fairlead_chaos.scenario import Manifest
from fairlead_operator import kube
from fairlead_operator.kube import Kind

BUSY_SECONDS: Final = 0.2
_ENDED: Final = ("Succeeded", "Failed")


class ApiHands:
    """A story's hands in one namespace."""

    def __init__(
        self,
        admin: Admin,
        namespace: str,
        node: str,
        restart: Callable[[Mapping[str, str]], Awaitable[None]],
        patience_seconds: float,
    ) -> None:
        self.namespace = namespace
        self._admin, self._node, self._restart = admin, node, restart
        self._patience_seconds = patience_seconds

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object in the run's namespace."""
        return await self._admin.create(manifest, self.namespace)

    async def patch(
        self, kind: Kind, name: str, change: Manifest, subresource: str = ""
    ) -> Manifest:
        """JSON merge patch."""
        return await self._admin.patch(kind, self.namespace, name, change, subresource)

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete in the background, as kubectl does; absent is well."""
        await self._admin.delete(kind, self.namespace, name)

    async def until(
        self, kind: Kind, name: str, holds: Callable[[Manifest | None], object], what: str
    ) -> Manifest | None:
        """Wait until it holds of the object (None while absent), and return that object."""

        def of_one(objects: list[Manifest]) -> object:
            return holds(objects[0] if objects else None)

        found = await self._until(kind, {"fieldSelector": f"metadata.name={name}"}, of_one, what)
        return found[0] if found else None

    async def until_pods(
        self, selector: dict[str, str], holds: Callable[[list[Manifest]], object], what: str
    ) -> list[Manifest]:
        """Wait until it holds of the pods with these labels, in order of their names."""
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        return await self._until(kube.POD, {"labelSelector": labels}, holds, what)

    async def evict(self, pod: str) -> None:
        """Evict a pod by the API, as a drain does; asked again where a budget refuses for now."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
        }
        path = kube.POD.path(self.namespace, pod, "eviction")
        async with asyncio.timeout(self._patience_seconds):
            while True:
                try:
                    await self._admin.call("POST", path, body)
                    return
                except kube.Unavailable:
                    await asyncio.sleep(BUSY_SECONDS)

    async def lose_node(self, pod: str) -> None:
        """Take away the node of a pod; the pod ends as the node controller has it.

        Real: a NoExecute taint, the taint eviction controller that ends every pod of the node, the
        Job controller, the scheduler. Not real: the time to notice (none, in place of minutes) and
        the kubelet, which tells of the pods' end as one does that comes back. No other run has
        pods on the node. It comes back once its pods are on their way out.
        """
        taints = [ground.taint(), ground.lost()]
        await self._admin.patch(NODE, None, self._node, {"spec": {"taints": taints}})
        try:
            await self._until(
                kube.POD,
                {"fieldSelector": f"spec.nodeName={self._node}"},
                lambda pods: all(map(_is_leaving, pods)),
                f"the pods beside {pod} leave the node that is lost",
            )
        finally:
            back = {"spec": {"taints": [ground.taint()]}}
            await self._admin.patch(NODE, None, self._node, back)

    async def restart_operator(self, **settings: str) -> None:
        """End the operator by SIGTERM and start one with these FAIRLEAD_ variables changed."""
        await self._restart(settings)

    async def _until(
        self,
        kind: Kind,
        query: dict[str, str],
        holds: Callable[[list[Manifest]], object],
        what: str,
    ) -> list[Manifest]:
        """Wait until it holds of what the query selects; each state that a watch tells counts."""
        seen: list[Manifest] = []
        try:
            async with self._admin.patience(self._patience_seconds):
                while True:
                    try:
                        watching = self._admin.states(kind, self.namespace, query)
                        async with aclosing(watching) as states:
                            async for seen in states:
                                if holds(seen):
                                    return seen
                    except (kube.Expired, kube.Unavailable, aiohttp.ClientError):
                        await asyncio.sleep(BUSY_SECONDS)
        except TimeoutError:
            last = [each.get("status") for each in seen]
            why = self._admin.futile
            given = f"since it was futile: {why!r}" if why else f"in {self._patience_seconds:.0f} s"
            text = f"never {given}: {what}; last seen: {last}"
            raise TimeoutError(text[:2000]) from None


def _is_leaving(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in _ENDED
