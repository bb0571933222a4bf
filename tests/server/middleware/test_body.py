"""Bodies within bounds, replayed whole; beyond them a named refusal."""

import asyncio

import pytest

from fairlead_server.middleware import body
from fairlead_server.middleware.replies import Refused


@pytest.fixture
def bodies():
    return body.Bodies(max_bytes=20)


async def read(bodies, scope, receive, **bounds):
    with bodies.one() as one:
        await one.read(scope, receive, **bounds)
        return one.content


def receiving(*messages):
    pending = list(messages)

    async def receive():
        if not pending:
            await asyncio.Event().wait()
        return pending.pop(0)

    return receive


def part(content, more):
    return {"type": "http.request", "body": content, "more_body": more}


DISCONNECT = {"type": "http.disconnect"}
SCOPE = {"type": "http", "headers": [(b"content-type", b"application/json")]}


def announced(value):
    return {"type": "http", "headers": [(b"content-length", value)]}


@pytest.mark.parametrize(
    ("messages", "whole"),
    [
        ([part(b"abc", False)], b"abc"),
        ([part(b"a", True), part(b"", True), part(b"bc", False)], b"abc"),
        ([{"type": "http.request"}], b""),
        ([part(b"0123456789", False)], b"0123456789"),
    ],
    ids=["one piece", "many", "none", "as much as is allowed"],
)
async def test_a_body_is_read_whole(bodies, messages, whole):
    assert await read(bodies, SCOPE, receiving(*messages), max_bytes=10) == whole


@pytest.mark.parametrize(
    ("scope", "messages"),
    [
        (announced(b"11"), []),
        (announced(b"9" * 40), []),
        (SCOPE, [part(b"x" * 11, False)]),
        (SCOPE, [part(b"x" * 6, True), part(b"x" * 5, True)]),
        (announced(b"3"), [part(b"x" * 11, False)]),
    ],
    ids=["announced", "announced absurdly", "sent", "sent in pieces", "announced less"],
)
async def test_a_body_beyond_the_bound_is_413_before_it_is_kept(bodies, scope, messages):
    with pytest.raises(Refused) as caught:
        await read(bodies, scope, receiving(*messages), max_bytes=10)
    assert caught.value.status == 413
    assert "larger than 10 bytes" in caught.value.message
    assert (b"connection", b"close") in caught.value.headers


async def test_a_body_that_trickles_in_is_408(bodies):
    with pytest.raises(Refused) as caught:
        await read(bodies, SCOPE, receiving(part(b"a", True)), seconds=0.01)
    assert caught.value.status == 408


async def test_a_client_that_leaves_meanwhile_is_no_error_of_ours(bodies):
    with pytest.raises(body.Disconnected):
        await read(bodies, SCOPE, receiving(part(b"a", True), DISCONNECT))


async def test_bodies_beyond_the_budget_together_are_503_until_one_is_answered(bodies):
    with bodies.one() as first:
        await first.read(SCOPE, receiving(part(b"x" * 10, False)))
        assert await read(bodies, SCOPE, receiving(part(b"x" * 10, False))) == b"x" * 10
        with pytest.raises(Refused) as caught:
            await read(bodies, SCOPE, receiving(part(b"x" * 6, True), part(b"x" * 5, False)))
        assert caught.value.status == 503
        assert {(b"retry-after", b"1"), (b"connection", b"close")} <= set(caught.value.headers)
        await first.replay(receiving(), left=lambda: None)()
        assert bodies.held_bytes == 10  # vLLM keeps what it was given
    assert bodies.held_bytes == 0


@pytest.mark.parametrize(
    ("messages", "raised"),
    [
        ([part(b"x" * 6, True), part(b"x" * 5, True)], Refused),
        ([part(b"a", True)], Refused),
        ([part(b"a", True), DISCONNECT], body.Disconnected),
    ],
    ids=["too large", "trickles", "left"],
)
async def test_a_body_that_is_not_read_whole_holds_nothing(bodies, messages, raised):
    with pytest.raises(raised):
        await read(bodies, SCOPE, receiving(*messages), max_bytes=10, seconds=0.01)
    assert bodies.held_bytes == 0


async def test_a_replay_gives_the_body_once_and_then_what_comes(bodies):
    left = []
    with bodies.one() as one:
        await one.read(SCOPE, receiving(part(b"abc", False)))
        receive = one.replay(receiving(DISCONNECT), left=lambda: left.append(True))
        assert await receive() == part(b"abc", False)
        assert one.content == b""  # kept no longer than needed
        assert left == []
        assert await receive() == DISCONNECT
        assert left == [True]


def test_a_rewritten_body_has_its_own_length_and_no_other():
    scope = {
        "type": "http",
        "path": "/x",
        "headers": [(b"content-length", b"3"), (b"transfer-encoding", b"chunked"), (b"a", b"b")],
    }
    changed = body.with_length(scope, b"12345")
    assert changed["headers"] == [(b"a", b"b"), (b"content-length", b"5")]
    assert changed["path"] == "/x"
    assert scope["headers"][0] == (b"content-length", b"3")
