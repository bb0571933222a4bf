"""What the probes say of an engine that starts, idles, moves, hangs and dies."""

import asyncio
import json

import pytest

from fairlead_api import names
from fairlead_server import progress
from fairlead_server.middleware.routes import PATH_CHAT, PATH_COMPLETIONS

BODY = {"model": "tiny", "messages": []}


async def test_startup_is_one_real_token_once(gate, client, app, until):
    app.open.clear()
    async with client(gate()) as http:
        first = await http.get(names.PATH_STARTUP)
        assert (first.status_code, first.json()["reason"]) == (
            503,
            "the first token is being generated",
        )
        await until(lambda: app.seen)
        assert (await http.get(names.PATH_STARTUP)).status_code == 503
        assert len(app.seen) == 1
        scope, content = app.seen[0]
        assert (scope["path"], json.loads(content)["max_tokens"]) == (PATH_COMPLETIONS, 1)
        app.open.set()
        await until_started(http)
        for _ in range(3):
            assert (await http.get(names.PATH_STARTUP)).status_code == 200
    assert len(app.seen) == 1


async def until_started(http):
    async with asyncio.timeout(10):
        while (await http.get(names.PATH_STARTUP)).status_code != 200:
            await asyncio.sleep(0)


async def test_a_first_token_that_fails_is_told_and_tried_again(gate, client, app, until):
    app.status = 500
    async with client(gate()) as http:
        await http.get(names.PATH_STARTUP)
        reasons = set()

        async with asyncio.timeout(10):
            while not any("answered 500" in reason for reason in reasons):
                reasons.add((await http.get(names.PATH_STARTUP)).json()["reason"])
                await asyncio.sleep(0)
        app.status = 200
        await until_started(http)


async def test_an_idle_pod_is_ready_and_live_for_ever(gate, client, clock):
    async with client(gate()) as http:
        clock.now += 100_000
        assert (await http.get(names.PATH_READY)).status_code == 200
        assert (await http.get(names.PATH_LIVE)).status_code == 200


async def both(http):
    return [(await http.get(path)).status_code for path in (names.PATH_READY, names.PATH_LIVE)]


@pytest.mark.parametrize(
    ("seconds", "moving", "statuses"),
    [
        (progress.READY_SECONDS - 1, None, [200, 200]),
        (progress.READY_SECONDS, None, [503, 200]),
        (progress.LIVE_SECONDS - 1, None, [503, 200]),
        (progress.LIVE_SECONDS, None, [503, 503]),
        (progress.LIVE_SECONDS, True, [200, 200]),
        (progress.LIVE_SECONDS, False, [503, 200]),
    ],
    ids=[
        "short", "no token for long", "no iteration for long", "no iteration for too long",
        "tokens move", "iterations without tokens",
    ],
)  # fmt: skip
async def test_a_standstill_while_requests_run(
    gate, client, app, clock, engine_client, until, seconds, moving, statuses
):
    clock.now += 1000  # idle for long before
    app.open.clear()
    async with client(gate()) as http, asyncio.TaskGroup() as group:
        group.create_task(http.post(PATH_CHAT, json=BODY))
        await until(lambda: engine_client.unfinished)
        clock.now += seconds
        if moving is not None:
            engine_client.progress.iterated(moved_tokens=moving)
        assert await both(http) == statuses
        app.open.set()


async def test_the_reason_names_what_stands_still(gate, client, app, clock, engine_client, until):
    app.open.clear()
    async with client(gate()) as http, asyncio.TaskGroup() as group:
        group.create_task(http.post(PATH_CHAT, json=BODY))
        await until(lambda: engine_client.unfinished)
        clock.now += 45
        reply = await http.get(names.PATH_READY)
        assert reply.json() == {
            "reason": "no token moved for 45 s while 1 requests run",
            "inFlight": 1,
        }
        app.open.set()


async def test_a_dead_engine_is_neither_ready_nor_live(gate, client, engine_client):
    engine_client.errored = True
    async with client(gate()) as http:
        assert await both(http) == [503, 503]


async def test_an_engine_without_heartbeat_never_starts(gate, client, engine_client):
    engine_client.logger_manager.stat_loggers.clear()
    async with client(gate()) as http:
        reply = await http.get(names.PATH_STARTUP)
    assert reply.status_code == 503
    assert "heartbeat is not loaded" in reply.json()["reason"]


async def test_an_app_without_engine_never_starts(gate, client, app):
    del app.state.engine_client
    async with client(gate()) as http:
        assert "no engine client" in (await http.get(names.PATH_STARTUP)).json()["reason"]


async def test_a_hung_engine_is_found_though_its_clients_gave_up(
    gate, client, app, clock, engine_client, until
):
    app.open.clear()
    async with client(gate()) as http:
        await leave_early(gate_of(http), until, engine_client, app)
        assert engine_client.unfinished == 0
        clock.now += progress.READY_SECONDS - 1
        assert await both(http) == [200, 200]  # and a token of the pod's own is under way
        await until(lambda: engine_client.unfinished == 1)
        clock.now += 1
        assert await both(http) == [503, 200]
        clock.now += progress.LIVE_SECONDS
        assert await both(http) == [503, 503]
        app.open.set()
        await until(lambda: engine_client.unfinished == 0)


async def test_an_engine_that_moves_on_is_not_doubted(
    gate, client, app, clock, engine_client, until
):
    app.open.clear()
    async with client(gate()) as http:
        await leave_early(gate_of(http), until, engine_client, app)
        engine_client.progress.iterated(moved_tokens=True)
        clock.now += progress.LIVE_SECONDS
        assert await both(http) == [200, 200]
        assert len(app.seen) == 1


def gate_of(http):
    return http._transport.app


async def leave_early(gate, until, engine_client, app):
    """Send a request and go away while it runs."""
    gone = asyncio.Event()
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    scope = {
        "type": "http", "method": "POST", "path": PATH_CHAT, "raw_path": PATH_CHAT.encode(),
        "headers": [], "client": ("10.0.0.1", 1),
    }  # fmt: skip
    task = asyncio.create_task(gate(scope, receive, send))
    await until(lambda: engine_client.unfinished == 1)
    gone.set()
    await task
