"""A proxy under a plan, between a client of the tests' own and a real API server."""

import asyncio
import contextlib
import dataclasses
import io
import json
import time
import uuid

import aiohttp
import pytest

from fairlead_chaos.faults import Plan
from fairlead_chaos.proxy import Proxy
from fairlead_chaos.upstream import Upstream

PATIENCE_SECONDS = 180  # other work runs on the same cores
LABEL = "chaos.test/proxy"
SELECTOR = f"labelSelector={LABEL}"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="session")
def by_token(control_plane):
    """An API server to which a request's own token says who asks, as to an operator."""
    return Upstream.of(control_plane.kubeconfig)


@pytest.fixture(scope="session")
def upstream(by_token):
    """An API server to which all that comes along is the administrator's: callers have no token."""
    return dataclasses.replace(by_token, plain=by_token.admin)


async def _until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.02)
    return found


def _config_map(name, **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {LABEL: ""}},
        "data": data,
    }


class Caller:
    """A client of ConfigMaps at one address."""

    def __init__(self, url, path, **options):
        self.path = path
        self.session = aiohttp.ClientSession(url, read_bufsize=2**22, **options)

    async def raw(self, method, path, body=None, **headers):
        headers = {"Content-Type": "application/json"} | headers
        content = None if body is None else io.BytesIO(json.dumps(body).encode())
        sent = {"data": content, "headers": headers}
        async with self.session.request(method, path, **sent) as reply:
            return reply.status, await reply.read(), reply.headers

    async def ask(self, method, name="", body=None, query="", content="application/json"):
        path = f"{self.path}/{name}" if name else self.path
        code, content, _ = await self.raw(method, path + query, body, **{"Content-Type": content})
        return code, json.loads(content)

    async def create(self, name, **data):
        return await self.ask("POST", body=_config_map(name, **data))

    async def edit(self, name, **data):
        return await self.ask("PATCH", name, {"data": data}, content=MERGE)

    async def delete(self, name):
        return await self.ask("DELETE", name)

    async def list(self, **accept):
        """Names with their data, and the version of the list; in pages of two."""
        found, token = {}, ""
        while True:
            query = f"?{SELECTOR}&limit=2" + (f"&continue={token}" if token else "")
            code, content, _ = await self.raw("GET", self.path + query, **accept)
            assert code == 200, content
            page = json.loads(content)
            found |= {one["metadata"]["name"]: one.get("data") for one in page["items"]}
            if not (token := page["metadata"].get("continue")):
                return found, page["metadata"]["resourceVersion"]

    async def watch(self, version):
        """Yields the lines of one watch stream."""
        query = f"?watch=true&allowWatchBookmarks=true&{SELECTOR}&resourceVersion={version}"
        wanted = aiohttp.ClientTimeout(total=None)
        async with self.session.get(self.path + query, timeout=wanted) as reply:
            assert reply.status == 200
            try:
                async for line in reply.content:
                    yield line
            finally:  # no polite end: it would outlive the test
                if reply.connection and reply.connection.transport:
                    reply.connection.transport.abort()


class Informer:
    """Lists once and then watches, again from where it was when a stream ends, as kopf does."""

    def __init__(self, caller):
        self.caller = caller
        self.told = []
        """Type, name and ``data.n`` of each event."""
        self.times = []
        self.num_streams = 0

    async def run(self):
        self.listed, version = await self.caller.list()
        while True:
            self.num_streams += 1
            with contextlib.suppress(aiohttp.ClientError):
                async for line in self.caller.watch(version):
                    event = json.loads(line)
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        head, data = event["object"]["metadata"], event["object"].get("data", {})
                        self.told.append((event["type"], head["name"], data.get("n")))
                        self.times.append(time.monotonic())

    async def until(self, *last):
        def came():
            assert not self.task.done(), self.task.exception()
            return last in self.told

        return await _until(came, f"{last} among {self.told}")


@pytest.fixture
async def direct(upstream):
    """The administrator past the proxy, in a namespace of the test's own."""
    namespace = f"proxy-{uuid.uuid4().hex[:8]}"
    connector = aiohttp.TCPConnector(ssl=upstream.admin)
    caller = Caller(upstream.url, f"/api/v1/namespaces/{namespace}/configmaps", connector=connector)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    async with caller.session:
        code, content, _ = await caller.raw("POST", "/api/v1/namespaces", body)
        assert code == 201, content
        yield caller
        await caller.raw("DELETE", f"/api/v1/namespaces/{namespace}")


class Chaos:
    """A proxy under a plan, and the client that stands for the operator."""

    def __init__(self, upstream, path, plan):
        self.path, self.num_kills = path, 0
        self.proxy = Proxy(upstream, Plan("proxy", plan), self.kill)
        self.trace = self.proxy.trace
        self.tasks = []
        self.may_die = asyncio.Event()
        self.may_die.set()

    async def start(self):
        await self.proxy.start()
        self.caller = Caller(self.proxy.url, self.path)
        return self

    async def kill(self):
        await self.may_die.wait()
        self.num_kills += 1
        await self.caller.session.close()

    async def restart(self):
        await _until(lambda: self.caller.session.closed, "killed")
        await self.proxy.begin(self.proxy.incarnation + 1)
        self.caller = Caller(self.proxy.url, self.path)

    async def informer(self):
        informer = Informer(self.caller)
        informer.task = asyncio.create_task(informer.run())
        self.tasks.append(informer.task)
        await _until(lambda: informer.num_streams, "the informer watches")
        return informer

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.caller.session.close()
        await self.proxy.close()


@pytest.fixture
async def chaos(upstream, direct):
    """Starts a proxy under the faults given."""
    started = []

    async def start(*plan, at=upstream):
        started.append(await Chaos(at, direct.path, plan).start())
        return started[-1]

    yield start
    for one in started:
        await one.close()


@pytest.fixture
def config_map():
    """The manifest of a ConfigMap that informers see."""
    return _config_map


@pytest.fixture
def until():
    """Waits until a condition holds."""
    return _until


@pytest.fixture
def gone():
    """What the operator sees when its connection breaks, or it is dead itself."""
    return lambda: pytest.raises((aiohttp.ClientError, ConnectionError))
