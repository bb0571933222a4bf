"""The harness's client repeats what a busy API server may not have done, and nothing twice."""

import ssl
from http import HTTPStatus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fairlead_chaos import admin
from fairlead_chaos.admin import Admin
from fairlead_chaos.upstream import Upstream
from fairlead_operator import kube

MADE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "uid": "1"}}
LOST, BUSY = HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS
DONE, THERE = HTTPStatus.CREATED, HTTPStatus.CONFLICT


@pytest.fixture
async def asked(monkeypatch):
    """Gives an administrator of a server that answers creates so, and what the server heard."""
    monkeypatch.setattr(admin, "BUSY_SECONDS", 0)
    answers, heard = [], []

    async def answer(request):
        heard.append(request.method)
        if request.method == "GET":
            return web.json_response(MADE)
        status = answers.pop(0)
        reason = "AlreadyExists" if status == THERE else ""
        body = MADE if status == DONE else {"kind": "Status", "reason": reason}
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        context = ssl.create_default_context()
        upstream = Upstream(str(server.make_url("/")).rstrip("/"), context, context)
        async with Admin(upstream) as opened:
            yield opened, answers, heard


@pytest.mark.parametrize(
    ("told", "methods"),
    [
        pytest.param([DONE], ["POST"], id="done"),
        pytest.param([BUSY, DONE], ["POST", "POST"], id="busy"),
        pytest.param([LOST, DONE], ["POST", "POST"], id="lost-and-not-done"),
        pytest.param([LOST, THERE], ["POST", "POST", "GET"], id="lost-and-done"),
    ],
)
async def test_object_is_created_once_whatever_becomes_of_the_answers(asked, told, methods):
    opened, answers, heard = asked
    answers += told
    assert await opened.create(MADE, "team") == MADE
    assert heard == methods


async def test_object_that_another_one_created_is_told(asked):
    opened, answers, heard = asked
    answers.append(THERE)
    with pytest.raises(kube.AlreadyExists):
        await opened.create(MADE, "team")
    assert heard == ["POST"]


async def test_server_that_answers_nobody_is_told_in_the_end(asked, monkeypatch):
    monkeypatch.setattr(admin, "PATIENCE_SECONDS", 0)
    opened, answers, _ = asked
    answers.append(LOST)
    with pytest.raises(kube.Unavailable):
        await opened.create(MADE, "team")
