"""The bench's own client: few instructions a request, so that it takes little of what it measures.

Requests and watches with the administrator's certificate over a bounded number of connections.
"""

import asyncio
import json
import ssl
import time
from contextlib import asynccontextmanager

import aiohttp

from fairlead_cluster import kubeconfig, pki

AGENT = "fairlead-bench"
AT_ONCE = 24
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
MERGE = "application/merge-patch+json"
PATIENCE_SECONDS = 120
ENDLESS = aiohttp.ClientTimeout(total=None)


class Refused(Exception):
    """The API server did not do what was asked."""

    def __init__(self, what, status, text):
        super().__init__(f"{what}: {status} {text[:500]}")
        self.status = status


class Client:
    """Requests to one API server."""

    def __init__(self, session, server):
        self._session, self._server = session, server
        self._free = asyncio.Semaphore(AT_ONCE)

    async def call(self, method, path, body=None, *, kind="application/json", but=()):
        """One request; an answer of one of the codes `but` is no error and gives None."""
        headers = {"Content-Type": kind, "Accept": "application/json"}
        data = None if body is None else json.dumps(body)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            async with (
                self._free,
                self._session.request(
                    method, self._server + path, data=data, headers=headers
                ) as answer,
            ):
                text = await answer.text()
                if answer.status in but:
                    return None
                if answer.status < 300:
                    return json.loads(text)
                # A server that asks for patience has done nothing.
                if answer.status != 429 or time.monotonic() > deadline:
                    raise Refused(f"{method} {path}", answer.status, text)
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))

    async def create_all(self, path, bodies):
        """Create objects, as many at a time as there are connections."""
        left = iter(bodies)

        async def take():
            for body in left:
                await self.call("POST", path, body)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(take())

    async def watch(self, path, query, version, accept="application/json"):
        """Yield type and object of each event from a version on, for ever; none is left out.

        A stream that the server ends goes on where it was; raises where that is too late.
        """
        while True:
            url = f"{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}{query}"
            async for event in self._stream(url, accept):
                if event["type"] == "ERROR":
                    raise Refused(f"watch {path}", event["object"].get("code"), str(event))
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield event["type"], event["object"]

    async def _stream(self, path, accept):
        async with self._session.get(
            self._server + path, headers={"Accept": accept}, timeout=ENDLESS
        ) as answer:
            if answer.status >= 300:
                raise Refused(f"watch {path}", answer.status, await answer.text())
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)


@asynccontextmanager
async def connected(opened):
    """A client of an opened cluster."""
    folder = opened.where.pki
    context = ssl.create_default_context(cafile=folder / f"{pki.CLUSTER_CA}.crt")
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector, headers={"User-Agent": AGENT}, timeout=timeout
    ) as session:
        yield Client(session, kubeconfig.server(opened.addresses))
