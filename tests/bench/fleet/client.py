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
ANSWER_SECONDS, PATIENCE_SECONDS = 120, 300
PAUSE_SECONDS = 1.0
ENDLESS = aiohttp.ClientTimeout(total=None)
TOO_MANY, UNABLE, NO_ANSWER = 429, 500, 599
"""The last is none of HTTP's: the connection broke."""
DONE = {"POST": {409}, "DELETE": {404}}
"""How a repeat is answered where the first one was done, though it seemed to fail."""
BROKEN = (aiohttp.ClientError, TimeoutError)


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
        self.num_failed = 0
        """How often the API server was unable to answer, and was asked again."""

    async def call(self, method, path, body=None, *, kind="application/json", but=()):
        """One request; an answer of one of the codes `but` is no error and gives None."""
        headers = {"Content-Type": kind, "Accept": "application/json"}
        data = None if body is None else json.dumps(body)
        deadline, fine = time.monotonic() + PATIENCE_SECONDS, set(but)
        while True:
            status, text, pause = await self._ask(method, path, data, headers)
            if status in fine:
                return None
            if status < 300:
                return json.loads(text)
            is_transient = status == TOO_MANY or status >= UNABLE
            if not is_transient or time.monotonic() > deadline:
                raise Refused(f"{method} {path}", status, text)
            if status != TOO_MANY:  # a server that asks for patience has done nothing
                self.num_failed += 1
                fine |= DONE.get(method, set())
            await asyncio.sleep(pause)

    async def _ask(self, method, path, data, headers):
        """Code and text of the answer, and how long to pause before the next try."""
        url = self._server + path
        try:
            async with (
                self._free,
                self._session.request(method, url, data=data, headers=headers) as answer,
            ):
                pause = float(answer.headers.get("Retry-After", PAUSE_SECONDS))
                return answer.status, await answer.text(), pause
        except BROKEN as error:
            return NO_ANSWER, repr(error), PAUSE_SECONDS

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

        A stream that ends or breaks goes on where it was; raises where that is too late.
        """
        heard = time.monotonic()
        while True:
            url = f"{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}{query}"
            try:
                async for event in self._stream(url, accept):
                    if event["type"] == "ERROR":
                        raise Refused(f"watch {path}", event["object"].get("code", 0), str(event))
                    version = event["object"]["metadata"]["resourceVersion"]
                    heard = time.monotonic()
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
            except (Refused, *BROKEN) as error:
                is_transient = not isinstance(error, Refused) or error.status >= UNABLE
                if not is_transient or time.monotonic() - heard > PATIENCE_SECONDS:
                    raise
                self.num_failed += 1
                await asyncio.sleep(PAUSE_SECONDS)

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
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector, headers={"User-Agent": AGENT}, timeout=timeout
    ) as session:
        yield Client(session, kubeconfig.server(opened.addresses))
