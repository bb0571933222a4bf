"""A small real ASGI app behind the gate, and an engine that moves when a test says so."""

import asyncio
import json
from types import SimpleNamespace

import httpx
import pytest

from fairlead_api.modelservice import Limits
from fairlead_api.servefile import ServeFile
from fairlead_server.middleware import Gate
from fairlead_server.progress import Progress


class EngineClient:
    """What the middleware reads of vLLM's AsyncLLM."""

    def __init__(self, clock):
        self.progress = Progress(clock)
        self.unfinished = 0
        self.errored = False
        self.model_config = SimpleNamespace(max_model_len=512)
        self.logger_manager = SimpleNamespace(
            stat_loggers=[object(), SimpleNamespace(progress=self.progress)]
        )

    def get_num_unfinished_requests(self):
        return self.unfinished


class EchoApp:
    """Answers every request with what it got; holds generations until ``open`` is set."""

    def __init__(self, engine_client):
        self.state = SimpleNamespace(engine_client=engine_client)
        self.engine_client = engine_client
        self.open = asyncio.Event()
        self.open.set()
        self.seen = []
        self.status = 200
        self.headers = []
        self.lifespans = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            self.lifespans += 1
            return
        message = await receive()
        body = message.get("body", b"")
        self.seen.append((scope, body))
        self.engine_client.unfinished += 1
        try:
            leaving = asyncio.create_task(receive())
            opening = asyncio.create_task(self.open.wait())
            await asyncio.wait({leaving, opening}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            opening.cancel()
        finally:
            self.engine_client.unfinished -= 1
        reply = {"body": body.decode(), "usage": {"completion_tokens": 1}}
        await send(
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)}
        )
        await send({"type": "http.response.body", "body": json.dumps(reply).encode()})


@pytest.fixture
def engine_client(clock):
    return EngineClient(clock)


@pytest.fixture
def app(engine_client):
    return EchoApp(engine_client)


@pytest.fixture
def gate(app, clock):
    """A function that builds the gate, as vLLM's app calls it."""

    def build(**limits):
        serve = ServeFile(
            model_uri="pvc://models/tiny", served_model_name="tiny", limits=Limits(**limits)
        )
        built = Gate(app, serve, clock)

        async def outer(scope, receive, send):
            await built({**scope, "app": app}, receive, send)

        return outer

    return build


@pytest.fixture
def client():
    """A function that gives an HTTP client of a gate, from a peer's address."""

    def build(gate, peer="10.244.0.7"):
        transport = httpx.ASGITransport(app=gate, client=(peer, 40000))
        return httpx.AsyncClient(transport=transport, base_url="http://pod")

    return build


@pytest.fixture
def until():
    """Wait for a condition, as long as it takes within reason."""

    async def wait(condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    return wait
