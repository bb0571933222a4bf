"""A request is answered, refused, or the service is away; each is told from the others.

Against a stand-in server in this process, which answers as a test says.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fairlead_airflow import asking
from fairlead_airflow.endpoint import Endpoint

PATH = "/v1/completions"
ANSWER = {"choices": [{"text": "3.5 kg"}]}


class StandInServer:
    """Answers each request with the next of ``answers``, then with ANSWER."""

    def __init__(self):
        self.answers = []
        self.is_well = True
        self.greeting_seconds = 0
        self.seen = []
        self.num_at_once = 0
        self.most_at_once = 0
        self.gate = None

    async def complete(self, request):
        self.seen.append((request.headers["Host"], await request.json()))
        self.num_at_once += 1
        self.most_at_once = max(self.most_at_once, self.num_at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.answers:
                return self.answers.pop(0)()
            return web.json_response(ANSWER)
        finally:
            self.num_at_once -= 1

    async def greet(self, request):
        await asyncio.sleep(self.greeting_seconds)
        return web.json_response({}, status=200 if self.is_well else 503)


@pytest.fixture
async def server():
    there = StandInServer()
    app = web.Application()
    app.router.add_post(PATH, there.complete)
    app.router.add_get(asking.GREETING, there.greet)
    async with TestServer(app) as running:
        there.url = str(running.make_url("")).rstrip("/")
        yield there


@pytest.fixture
def said():
    return []


@pytest.fixture
async def client(server, said):
    where = Endpoint(server.url, "units", "units.team.example")
    async with asking.Client(
        where, patience_seconds=20, say=lambda words, *of: said.append(words % of)
    ) as opened:
        yield opened


def answering(status, document=None, **headers):
    def make():
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if document is None:
            return web.Response(status=status, headers=named)
        return web.json_response(document, status=status, headers=named)

    return make


async def test_answer_comes_back_and_the_gateway_is_told_the_host(server, client):
    assert await client.post(PATH, {"prompt": "a"}) == ANSWER
    assert server.seen == [("units.team.example", {"prompt": "a"})]


@pytest.mark.parametrize(
    "busy",
    [
        answering(429, {"error": {"message": "full"}}, Retry_After="0"),
        answering(503, {"error": {"message": "draining"}}, Retry_After="0"),
        answering(502),
        answering(504),
        answering(404),
        answering(500, {"error": {"message": "engine"}}),
        answering(200),
    ],
    ids=["429", "503", "502", "504", "no route yet", "500 once", "cut answer"],
)
async def test_service_that_is_busy_is_asked_again(server, client, said, busy):
    server.answers = [busy]
    assert await client.post(PATH, {}) == ANSWER
    assert client.num_sent == 2
    assert "again in" in said[0]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"error": {"message": "prompt is too long"}}, "prompt is too long"),
        ({"message": "no such model"}, "no such model"),
        ({"error": "bad"}, "bad"),
    ],
    ids=["OpenAI's form", "plain", "text"],
)
async def test_refusal_is_not_asked_again(server, client, document, words):
    server.answers = [answering(400, document)]
    with pytest.raises(asking.Refused, match=words) as refused:
        await client.post(PATH, {})
    assert refused.value.status == 400
    assert client.num_sent == 1


async def test_request_at_which_a_service_that_is_well_fails_is_refused(server, client):
    server.answers = [answering(500, {"error": {"message": "boom"}})] * 9
    with pytest.raises(asking.Refused, match=r"boom, 3 times"):
        await client.post(PATH, {})
    assert client.num_sent == asking.TRIES_OF_ONE


async def test_failing_service_that_is_not_well_is_away(server, said):
    server.is_well = False
    server.answers = [answering(500, {"error": {"message": "boom"}})] * 100
    async with asking.Client(Endpoint(server.url, "units"), patience_seconds=3) as client:
        with pytest.raises(asking.ServiceAway, match=r"boom.*tried for 3 s"):
            await client.post(PATH, {})
    assert client.num_sent > asking.TRIES_OF_ONE


async def test_nobody_there_is_away_and_names_the_address(nobody):
    where = Endpoint(f"http://{nobody}", "units")
    async with asking.Client(where, patience_seconds=0.1) as client:
        with pytest.raises(asking.ServiceAway, match=r"127\.0\.0\.1.*doesn't answer"):
            await client.post(PATH, {})
        assert not await client.is_well()


async def test_slow_answer_counts_as_an_error_of_the_server(server):
    server.gate = asyncio.Event()
    server.greeting_seconds = 0.4  # longer than an answer may take here
    async with asking.Client(
        Endpoint(server.url, "units"), timeout_seconds=0.2, patience_seconds=60
    ) as client:
        with pytest.raises(asking.Refused, match=r"no answer within 0 s, 3 times"):
            await client.post(PATH, {})
    server.gate.set()


async def test_no_more_requests_are_on_their_way_than_allowed(server):
    server.gate = asyncio.Event()
    async with asking.Client(Endpoint(server.url, "units"), concurrency=3) as client:
        asked = [asyncio.create_task(client.post(PATH, {"n": n})) for n in range(10)]
        async with asyncio.timeout(30):
            while len(server.seen) < 3:
                await asyncio.sleep(0.01)
        server.gate.set()
        assert await asyncio.gather(*asked) == [ANSWER] * 10
    assert server.most_at_once == 3


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        (format_datetime(datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)), 3000, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
    ids=["seconds", "date", "date of unknown zone", "past"],
)
def test_retry_after_is_read_in_both_its_forms(text, least, most):
    assert least <= asking._retry_after(text) <= most


@pytest.mark.parametrize("text", ["", "soon", "²"])
def test_retry_after_that_says_nothing_counts_for_nothing(text):
    assert asking._retry_after(text) is None


def test_answer_that_is_nested_too_deep_is_none():
    with pytest.raises(asking.ServerError, match="answers 200"):
        asking.read("http://units", 200, {}, "[" * 100_000)


async def test_client_that_was_not_entered_says_so():
    client = asking.Client(Endpoint("http://127.0.0.1", "units"))
    with pytest.raises(RuntimeError, match="enter it first"):
        await client.post(PATH, {})
