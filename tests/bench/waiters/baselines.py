"""What the shared watch is measured against: a trigger that polls and one that does nothing.

``PollingTrigger`` is what one writes with the cncf provider's asynchronous hook, as its own
triggers are, and then tunes: all waiters of a process share one client with its connections, and
first looks are spread over the interval.
"""

import asyncio
import functools
from contextlib import AsyncExitStack

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from fairlead_airflow import hooks, waiting
from fairlead_api import names

OPEN = AsyncExitStack()
"""What stays open as long as the process lives."""


@functools.cache
def begun():
    """The moment from which no-op triggers count, set by SIGUSR1."""
    return asyncio.Event()


@functools.cache
def shared_client(conn_id):
    """The one client of this process: a task, so that the first waiters don't make several."""
    return asyncio.ensure_future(_open(conn_id))


async def _open(conn_id):
    return await OPEN.enter_async_context(AsyncKubernetesHook(conn_id=conn_id).get_conn())


class PollingTrigger(BaseTrigger):
    """Reads its resource from time to time until it is done."""

    def __init__(self, kind, namespace, name, uid, generation, fairlead_conn_id, first, seconds):
        super().__init__()
        self.of = hooks.Target(kind, namespace, name)
        self.uid = uid
        self.generation = generation
        self.fairlead_conn_id = fairlead_conn_id
        self.first = first
        self.seconds = seconds

    def serialize(self):
        return "baselines.PollingTrigger", {
            "kind": self.of.kind,
            "namespace": self.of.namespace,
            "name": self.of.name,
            "uid": self.uid,
            "generation": self.generation,
            "fairlead_conn_id": self.fairlead_conn_id,
            "first": self.first,
            "seconds": self.seconds,
        }

    async def run(self):
        client = await asyncio.shield(shared_client(self.fairlead_conn_id))
        path = (
            f"/apis/{names.API_VERSION}/namespaces/{self.of.namespace}"
            f"/{self.of.plural}/{self.of.name}"
        )
        pause = self.first
        while True:
            await asyncio.sleep(pause)
            pause = self.seconds
            answer = await client.call_api(
                path,
                "GET",
                header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
            async with answer:
                answer.raise_for_status()
                seen = waiting.judge(await answer.json(), self.uid, self.generation)
            if (event := waiting.event(seen)) is not None:
                yield TriggerEvent(event)
                return


class NoOpTrigger(BaseTrigger):
    """Waits for a moment and knows nothing of any cluster."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def serialize(self):
        return "baselines.NoOpTrigger", {"seconds": self.seconds}

    async def run(self):
        await begun().wait()
        await asyncio.sleep(self.seconds)
        yield TriggerEvent({"result": "succeeded", "reason": "", "message": ""})
