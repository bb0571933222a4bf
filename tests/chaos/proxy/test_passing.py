"""Without a fault the proxy is not there: bytes are what the API server sent, identity passes."""

import asyncio
import dataclasses
import json
import time

import pytest

pytestmark = pytest.mark.cluster
PATIENCE_SECONDS = 180  # other work runs on the same cores
SELECTOR = "labelSelector=chaos.test/proxy"


async def test_replies_pass_byte_by_byte(chaos, direct):
    through = (await chaos()).caller
    for place in range(5):
        await direct.create(f"one-{place}", text="x" * 300_000)
    _, version = await direct.list()
    as_of = f"{SELECTOR}&resourceVersion={version}&resourceVersionMatch=Exact"
    lists = [f"{direct.path}?{as_of}", f"{direct.path}?{as_of}&limit=2"]
    for path in (f"{direct.path}/one-0", *lists, "/api/v1", "/healthz"):
        assert (await through.raw("GET", path))[:2] == (await direct.raw("GET", path))[:2]
    assert (await through.list())[0] == (await direct.list())[0]
    assert (await through.raw("GET", f"{direct.path}/none"))[0] == 404


async def test_body_passes_whatever_its_size(chaos, direct):
    through = (await chaos()).caller
    assert (await through.create("large", text="x" * 1_000_000))[0] == 201
    assert (await through.create("larger", text="x" * 2_000_000))[0] == 422  # the server's word
    listed, _ = await direct.list()
    assert {name: len(data["text"]) for name, data in listed.items()} == {"large": 1_000_000}


async def test_watch_events_pass_byte_by_byte_whatever_their_size(chaos, direct):
    through = (await chaos()).caller
    _, version = await direct.list()
    for place, size in enumerate((0, 10, 70_000, 900_000, 10)):
        await direct.create(f"one-{place}", text="ü" * (size // 2))
        await direct.edit(f"one-{place}", n="1")
        await direct.delete(f"one-{place}")

    async def first(caller):
        watched = caller.watch(version)
        lines = [await anext(watched) for _ in range(15)]
        await watched.aclose()
        return lines

    assert await first(through) == await first(direct)


async def test_token_says_who_asks_and_without_one_it_is_nobody(chaos, direct, by_token):
    through = (await chaos(at=by_token)).caller
    namespace = direct.path.split("/")[4]
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

    async def token():
        code, content, _ = await direct.raw("POST", account, request)
        return content if code == 201 else None

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (content := await token()):  # the account is made by a controller
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    bearer = {"Authorization": f"Bearer {json.loads(content)['status']['token']}"}
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "SelfSubjectReview",
        "metadata": {},
    }
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    _, content, _ = await through.raw("POST", path, review, **bearer)
    user = json.loads(content)["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert (await through.raw("POST", path, review))[0] == 401


async def test_api_server_out_of_reach_breaks_the_connection(chaos, upstream, gone):
    one = await chaos(at=dataclasses.replace(upstream, url="https://127.0.0.1:1"))
    with gone():
        await one.caller.list()
    with gone():
        await one.caller.create("made")
    assert [(one.code, one.answered) for one in one.trace.sent] == [(0, "lost")]
