"""The whole layer in front of an app: what passes, how, and how it drains."""

import asyncio
import json

import httpx
import pytest

from fairlead_api import names
from fairlead_server import progress
from fairlead_server.drain import PATH_DRAIN, SETTLE_SECONDS
from fairlead_server.middleware.routes import PATH_CHAT

BODY = {"model": "tiny", "messages": []}


async def test_a_request_passes_unchanged(gate, client, app):
    async with client(gate()) as http:
        reply = await http.post(PATH_CHAT, content=b'{ "model":"tiny" }')
    assert reply.status_code == 200
    assert app.seen[0][1] == b'{ "model":"tiny" }'


async def test_a_rewritten_request_says_its_own_length(gate, client, app):
    async with client(gate(max_tokens=20)) as http:
        await http.post(PATH_CHAT, json=BODY)
    scope, content = app.seen[0]
    assert json.loads(content) == BODY | {"max_tokens": 20}
    assert dict(scope["headers"])[b"content-length"] == str(len(content)).encode()


async def test_a_limit_beyond_the_context_is_cut_to_it(gate, client, app):
    async with client(gate(max_tokens=100_000)) as http:
        await http.post(PATH_CHAT, json=BODY)
    assert json.loads(app.seen[0][1])["max_tokens"] == 512


async def test_refusals_have_the_shape_of_openais_api(gate, client, app):
    async with client(gate(max_tokens=20)) as http:
        reply = await http.post(PATH_CHAT, json=BODY | {"max_tokens": 21})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, 400, "max_tokens")
    assert error["type"] == "BadRequestError"
    assert app.seen == []


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/secret", 404, "NotFoundError"),
        ("GET", "/v1/%6dodels", 404, "NotFoundError"),
        ("POST", PATH_DRAIN, 404, "NotFoundError"),
        ("PUT", PATH_CHAT, 405, "MethodNotAllowedError"),
    ],
)
async def test_what_is_not_listed_never_reaches_the_app(
    gate, client, app, method, path, status, kind
):
    async with client(gate()) as http:
        reply = await http.request(method, path)
    assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
    assert app.seen == []


async def test_no_depth_of_nesting_is_an_error_of_ours(gate, client, app):
    """The interpreter's bound on recursion is met anywhere between reading and writing JSON."""
    statuses = []
    async with client(gate(max_tokens=20)) as http:
        for depth in range(700, 1100):
            content = b'{"x":' + b"[" * depth + b"]" * depth + b"}"
            statuses.append((await http.post(PATH_CHAT, content=content)).status_code)
    assert set(statuses) == {200, 400}
    assert statuses == sorted(statuses)


async def test_a_websocket_is_closed(gate, app):
    sent = []

    async def send(message):
        sent.append(message)

    await gate()({"type": "websocket", "path": "/v1/realtime"}, None, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_the_apps_lifespan_passes(gate, app):
    await gate()({"type": "lifespan"}, None, None)
    assert app.lifespans == 1


async def test_one_request_too_many_is_429_until_a_place_is_free(gate, client, app, until):
    app.open.clear()
    async with client(gate(max_queued_requests=2)) as http, asyncio.TaskGroup() as group:
        first = [group.create_task(http.post(PATH_CHAT, json=BODY)) for _ in range(2)]
        await until(lambda: len(app.seen) == 2)
        refused = await http.post(PATH_CHAT, json=BODY)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert (await http.get("/v1/models")).status_code == 200  # no generation, no place
        app.open.set()
        assert [(await task).status_code for task in first] == [200, 200]
        assert (await http.post(PATH_CHAT, json=BODY)).status_code == 200


async def test_bodies_that_trickle_in_keep_no_place_from_others(gate, client, app, until):
    waiting, rest = [], asyncio.Event()

    async def trickle():
        yield b'{"model":'
        waiting.append(True)
        await rest.wait()
        yield b'"tiny"}'

    # httpx's own transport reads a body before it sends it; this one sends as it reads.
    class Trickling(httpx.ASGITransport):
        async def handle_async_request(self, request):
            pieces, sent = aiter(request.stream), []

            async def receive():
                async for piece in pieces:
                    return {"type": "http.request", "body": piece, "more_body": True}
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message):
                sent.append(message)

            scope = {
                "type": "http", "method": "POST", "path": PATH_CHAT, "headers": [],
                "client": ("10.0.0.1", 1),
            }  # fmt: skip
            await self.app(scope, receive, send)
            return httpx.Response(sent[0]["status"])

    built = gate(max_queued_requests=1)
    slow = httpx.AsyncClient(transport=Trickling(app=built), base_url="http://pod")
    async with slow, client(built) as http, asyncio.TaskGroup() as group:
        trickling = [group.create_task(slow.post(PATH_CHAT, content=trickle())) for _ in range(3)]
        await until(lambda: len(waiting) == 3)
        assert (await http.post(PATH_CHAT, json=BODY)).status_code == 200
        rest.set()
        assert 200 in [(await task).status_code for task in trickling]


@pytest.mark.parametrize("status", [429, 503])
async def test_the_engines_own_refusals_get_a_retry_after(gate, client, app, status):
    app.status = status
    async with client(gate()) as http:
        reply = await http.post(PATH_CHAT, json=BODY)
    assert reply.headers["retry-after"] == "1"


async def test_a_retry_after_of_the_engine_is_kept(gate, client, app):
    app.status, app.headers = 503, [(b"Retry-After", b"9")]
    async with client(gate()) as http:
        reply = await http.post(PATH_CHAT, json=BODY)
    assert reply.headers.get_list("retry-after") == ["9"]


async def test_an_answer_streams_through_piece_by_piece(app, gate):
    pieces, sent = [b"data: a\n\n", b"data: b\n\n", b"data: [DONE]\n\n"], []
    seen_before_piece = []

    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            seen_before_piece.append(len(sent))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message):
        sent.append(message)

    from fairlead_api.servefile import ServeFile
    from fairlead_server.middleware import Gate

    serve = ServeFile(model_uri="pvc://models/tiny", served_model_name="tiny")
    scope = {
        "type": "http", "method": "POST", "path": PATH_CHAT, "raw_path": PATH_CHAT.encode(),
        "headers": [], "client": ("10.0.0.1", 1), "app": app,
    }  # fmt: skip
    await Gate(stream, serve)(scope, receive, send)
    assert seen_before_piece == [1, 2, 3]
    assert [message.get("body") for message in sent] == [None, *pieces, b""]


async def test_a_drain_stops_readiness_at_once_and_ends_when_all_is_answered(
    gate, client, app, clock, engine_client, until
):
    app.open.clear()
    built = gate()
    async with (
        client(built) as http,
        client(built, peer="127.0.0.1") as inside,
        asyncio.TaskGroup() as group,
    ):
        running = group.create_task(http.post(PATH_CHAT, json=BODY))
        await until(lambda: engine_client.unfinished)
        assert (await inside.post(PATH_DRAIN)).json() == {"inFlight": 1, "done": False}
        assert (await http.get(names.PATH_READY)).json()["reason"] == "draining"
        assert (await http.get(names.PATH_LIVE)).status_code == 200

        late = group.create_task(http.post(PATH_CHAT, json=BODY))
        await until(lambda: engine_client.unfinished == 2)
        clock.now += SETTLE_SECONDS
        refused = await http.post(PATH_CHAT, json=BODY)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert refused.headers["retry-after"] == "1"
        assert (await inside.post(PATH_DRAIN)).json() == {"inFlight": 2, "done": False}

        app.open.set()
        assert (await running).status_code == 200
        assert (await late).headers["connection"] == "close"
        assert (await inside.post(PATH_DRAIN)).json() == {"inFlight": 0, "done": True}


async def test_a_drain_does_not_wait_for_a_stuck_engine(
    gate, client, app, clock, engine_client, until
):
    app.open.clear()
    built = gate()
    async with (
        client(built) as http,
        client(built, peer="127.0.0.1") as inside,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(http.post(PATH_CHAT, json=BODY))
        await until(lambda: engine_client.unfinished)
        clock.now += progress.LIVE_SECONDS
        assert (await inside.post(PATH_DRAIN)).json()["done"] is True
        app.open.set()


async def test_a_drain_does_not_wait_for_an_engine_that_never_was(gate, client, app):
    del app.state.engine_client
    async with client(gate(), peer="127.0.0.1") as inside:
        assert (await inside.post(PATH_DRAIN)).json() == {"inFlight": 0, "done": True}


async def test_a_client_that_leaves_while_sending_frees_its_place(gate, app):
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return messages.pop(0)

    async def send(message):
        raise AssertionError("nobody is there")

    scope = {
        "type": "http", "method": "POST", "path": PATH_CHAT, "raw_path": PATH_CHAT.encode(),
        "headers": [], "client": ("10.0.0.1", 1),
    }  # fmt: skip
    built = gate(max_queued_requests=1)
    await built(scope, receive, send)
    assert app.seen == []
    transport = httpx.ASGITransport(app=built)
    async with httpx.AsyncClient(transport=transport, base_url="http://pod") as http:
        assert (await http.post(PATH_CHAT, json=BODY)).status_code == 200


def test_vllm_builds_the_gate_with_the_app_alone(app, monkeypatch):
    monkeypatch.delenv(names.ENV_SERVE_FILE, raising=False)
    from fairlead_server.middleware import gate

    with pytest.raises(gate.settings.StartRefused):
        gate.Gate(app)
