"""The client says the right thing on the wire, and gives up or insists where it should."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fairlead_operator import cluster as client
from fairlead_operator import kube
from fairlead_operator.cluster import ApiCluster, Configuration
from fairlead_operator.pace import Pace

HEAD = {"name": "c", "namespace": "team"}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": HEAD}


class Server:
    """Answers from a list and writes down what it was asked."""

    def __init__(self):
        self.answers, self.requests, self.observed = [], [], []

    async def handle(self, request):
        body = await request.read()
        self.requests.append((request, json.loads(body) if body else None))
        status, answer, headers = self.answers.pop(0) if self.answers else (200, {}, {})
        if status == 0:
            request.transport.close()
        return web.json_response(answer, status=status or 200, headers=headers)

    def answer(self, status, body=None, **headers):
        self.answers.append((status, body or {}, headers))


@pytest.fixture
async def wire(monkeypatch):
    pauses = []

    async def no_sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(client.asyncio, "sleep", no_sleep)
    server = Server()
    server.pauses = pauses
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as listening:
        config = Configuration(host=str(listening.make_url("")).rstrip("/"))
        config.api_key["BearerToken"] = "Bearer secret"
        api = ApiCluster(config, lambda *call: server.observed.append(call[:3]))
        server.api = api
        yield server
        await api.close()


CALLS = [
    pytest.param(
        lambda api: api.get(kube.CONFIG_MAP, "team", "c"),
        ("GET", "/api/v1/namespaces/team/configmaps/c", {}),
        id="get",
    ),
    pytest.param(
        lambda api: api.create(CONFIG_MAP),
        (
            "POST",
            "/api/v1/namespaces/team/configmaps",
            {"fieldManager": "fairlead-operator", "fieldValidation": "Strict"},
        ),
        id="create",
    ),
    pytest.param(
        lambda api: api.apply(CONFIG_MAP, subresource="status", manager="fairlead-progress"),
        (
            "PATCH",
            "/api/v1/namespaces/team/configmaps/c/status",
            {"fieldManager": "fairlead-progress", "fieldValidation": "Strict", "force": "true"},
        ),
        id="apply",
    ),
    pytest.param(
        lambda api: api.replace(CONFIG_MAP),
        (
            "PUT",
            "/api/v1/namespaces/team/configmaps/c",
            {"fieldManager": "fairlead-operator", "fieldValidation": "Strict"},
        ),
        id="replace",
    ),
    pytest.param(
        lambda api: api.delete(kube.CONFIG_MAP, "team", "c", "u"),
        ("DELETE", "/api/v1/namespaces/team/configmaps/c", {}),
        id="delete",
    ),
    pytest.param(
        lambda api: api.list_heads(kube.CONFIG_MAP),
        (
            "GET",
            "/api/v1/configmaps",
            {"limit": "500", "labelSelector": "app.kubernetes.io/managed-by=fairlead"},
        ),
        id="list-children",
    ),
    pytest.param(
        lambda api: api.list_heads(kube.FINETUNEJOB, "team"),
        ("GET", "/apis/fairlead.dev/v1alpha1/namespaces/team/finetunejobs", {"limit": "500"}),
        id="list-resources",
    ),
]


@pytest.mark.parametrize(("call", "expected"), CALLS)
async def test_each_call_is_spelled_right(wire, call, expected):
    await call(wire.api)
    ((request, _),) = wire.requests
    assert (request.method, request.path, dict(request.query)) == expected
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["User-Agent"] == "fairlead-operator"


async def test_no_file_and_no_proxy_of_the_environment_is_asked(wire, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    await wire.api.get(kube.CONFIG_MAP, "team", "c")
    ((request, _),) = wire.requests
    assert request.headers["Authorization"] == "Bearer secret"


async def test_an_apply_is_sent_as_one(wire):
    await wire.api.apply(CONFIG_MAP)
    ((request, body),) = wire.requests
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert body == CONFIG_MAP


@pytest.mark.parametrize(
    ("version", "preconditions"),
    [
        pytest.param("", {"uid": "u"}, id="uid"),
        pytest.param("7", {"uid": "u", "resourceVersion": "7"}, id="uid-and-version"),
    ],
)
async def test_a_delete_carries_what_was_seen_and_works_in_the_background(
    wire, version, preconditions
):
    await wire.api.delete(kube.CONFIG_MAP, "team", "c", "u", version)
    ((_, body),) = wire.requests
    assert (body["preconditions"], body["propagationPolicy"]) == (preconditions, "Background")


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        pytest.param({"kind": "Status", "status": "Success"}, None, id="gone"),
        pytest.param(CONFIG_MAP, CONFIG_MAP, id="waits-for-its-end"),
    ],
)
async def test_a_delete_tells_what_is_left(wire, answer, left):
    wire.answer(200, answer)
    assert await wire.api.delete(kube.CONFIG_MAP, "team", "c", "u") == left


async def test_a_listing_is_read_to_its_end_as_metadata_only(wire):
    wire.answer(200, {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]})
    wire.answer(200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]})
    heads = await wire.api.list_heads(kube.FINETUNEJOB)
    assert [head["metadata"]["name"] for head in heads] == ["a", "b"]
    assert wire.requests[1][0].query["continue"] == "more"
    assert "PartialObjectMetadataList" in wire.requests[0][0].headers["Accept"]


async def test_of_a_listing_only_is_kept_who_each_object_is_and_whose(wire):
    kept = {
        "namespace": "team",
        "name": "a",
        "uid": "u",
        "resourceVersion": "7",
        "ownerReferences": [{"uid": "o"}],
    }
    large = {"managedFields": [{"manager": "m"}], "annotations": {"a": "b"}, "labels": {"c": "d"}}
    wire.answer(200, {"metadata": {}, "items": [{"kind": "K", "metadata": kept | large}]})
    assert await wire.api.list_heads(kube.JOB) == [{"metadata": kept}]


async def test_a_listing_whose_pages_grew_too_old_is_made_anew_in_one_piece(wire):
    wire.answer(200, {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]})
    wire.answer(410, {"reason": "Expired", "message": "the continue parameter is too old"})
    wire.answer(200, {"metadata": {}, "items": [{"metadata": {"name": n}} for n in "bc"]})
    heads = await wire.api.list_heads(kube.CONFIG_MAP)
    assert [head["metadata"]["name"] for head in heads] == ["b", "c"]
    asked = dict(wire.requests[2][0].query)
    assert asked == {"labelSelector": "app.kubernetes.io/managed-by=fairlead"}


SELECTORS = [
    pytest.param(kube.POD, {}, "app.kubernetes.io/managed-by=fairlead", id="children"),
    pytest.param(
        kube.POD, {"a/b": "c", "d": "e"}, "app.kubernetes.io/managed-by=fairlead,a/b=c,d=e",
        id="some-children",
    ),
    pytest.param(kube.CLAIM, {"a": "b"}, "a=b", id="no-children"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "labels", "selector"), SELECTORS)
async def test_a_listing_is_narrowed_by_the_api_server(wire, kind, labels, selector):
    wire.answer(200, {"metadata": {}, "items": []})
    await wire.api.list_heads(kind, "team", labels)
    assert wire.requests[0][0].query["labelSelector"] == selector


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, False)])
async def test_existence_is_asked_without_the_content(wire, status, there):
    wire.answer(status)
    assert await wire.api.exists(kube.CONFIG_MAP, "team", "c") is there
    assert "PartialObjectMetadata" in wire.requests[0][0].headers["Accept"]


@pytest.mark.parametrize(
    ("status", "resources", "served"),
    [
        pytest.param(200, [{"name": "httproutes"}], True, id="served"),
        pytest.param(200, [{"name": "gateways"}], False, id="the-group-without-the-kind"),
        pytest.param(404, [], False, id="no-group"),
    ],
)
async def test_discovery_tells_whether_a_kind_is_served(wire, status, resources, served):
    wire.answer(status, {"resources": resources})
    assert await wire.api.serves(kube.HTTP_ROUTE) is served


async def test_a_connection_that_breaks_is_opened_again(wire):
    wire.answer(0)
    wire.answer(201, CONFIG_MAP)
    assert await wire.api.create(CONFIG_MAP) == CONFIG_MAP
    assert [code for _, _, code in wire.observed] == [0, 201]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_patience_is_shown_and_the_call_made_again(wire, status):
    wire.answer(status, {"message": "later"})
    wire.answer(200, CONFIG_MAP)
    assert await wire.api.get(kube.CONFIG_MAP, "team", "c") == CONFIG_MAP
    assert [code for _, _, code in wire.observed] == [status, 200]


async def test_patience_ends(wire):
    for _ in range(client.ATTEMPTS):
        wire.answer(503, {"message": "etcd is down"})
    with pytest.raises(kube.Unavailable, match="etcd is down"):
        await wire.api.get(kube.CONFIG_MAP, "team", "c")
    assert len(wire.requests) == client.ATTEMPTS
    assert wire.pauses == sorted(wire.pauses), "pauses must grow"


class Fallen(Exception):
    """What a fence says."""


class Fence:
    """Stands for so many questions, then falls."""

    def __init__(self, stands, log):
        self.stands, self._log = stands, log

    def __call__(self):
        self._log.append("asked")
        self.stands -= 1
        if self.stands < 0:
            raise Fallen
        return 15.0


class Steps:
    """A pace that notes when a request may go."""

    def __init__(self, log):
        self._log = log

    async def wait(self):
        self._log.append("paced")


ASKED = 2
"""How often in an attempt: before a connection is sought, and at the socket."""
WRITES = [param for param in CALLS if param.id in ("create", "apply", "replace", "delete")]


@pytest.mark.parametrize(("call", "expected"), WRITES)
async def test_a_write_is_not_sent_again_once_the_fence_fell(wire, call, expected):
    wire.answer(503, {"message": "later"})
    with pytest.raises(Fallen):
        await call(wire.api.fenced(Fence(ASKED, [])))
    ((request, _),) = wire.requests
    assert (request.method, request.path) == expected[:2]


@pytest.mark.parametrize(("call", "expected"), WRITES)
@pytest.mark.parametrize("stands", range(ASKED))
async def test_no_write_passes_a_fallen_fence(wire, call, expected, stands):
    """Writes of one turn are asked before the first of them leaves: each again at the socket."""
    with pytest.raises(Fallen):
        await call(wire.api.fenced(Fence(stands, [])))
    assert wire.requests == []


async def test_the_fence_is_asked_last_before_each_attempt(wire):
    log = []
    wire.api._pace = Steps(log)
    wire.answer(503, {"message": "later"})
    await wire.api.fenced(Fence(2 * ASKED, log)).create(CONFIG_MAP)
    assert log == ["paced", *["asked"] * ASKED] * 2


async def test_reads_pass_a_fallen_fence_and_others_writes_know_none(wire):
    behind = wire.api.fenced(Fence(0, []))
    await behind.get(kube.CONFIG_MAP, "team", "c")
    await behind.list_heads(kube.CONFIG_MAP)
    await wire.api.create(CONFIG_MAP)
    assert [request.method for request, _ in wire.requests] == ["GET", "GET", "POST"]


async def test_a_write_that_finds_no_connection_while_the_fence_stands_is_not_sent(wire):
    held, come = asyncio.Event(), asyncio.Event()

    async def hold(request):
        come.set()
        await held.wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", hold)
    app.router.add_post("/{path:.*}", wire.handle)
    async with TestServer(app) as listening:
        config = Configuration(host=str(listening.make_url("")).rstrip("/"))
        config.connection_pool_maxsize = 1
        api = ApiCluster(config, lambda *_: None)
        reading = asyncio.create_task(api.get(kube.CONFIG_MAP, "team", "c"))
        await come.wait()
        with pytest.raises(kube.Unavailable, match="[Cc]onnection timeout"):
            await api.fenced(lambda: 0.01).create(CONFIG_MAP)
        held.set()
        await reading
        assert wire.requests == []
        await api.close()


async def test_retry_after_is_honoured_up_to_a_limit(wire):
    wire.answer(429, **{"Retry-After": "3"})
    wire.answer(429, **{"Retry-After": "600"})
    await wire.api.get(kube.CONFIG_MAP, "team", "c")
    assert 3 <= wire.pauses[0] < 4
    assert wire.pauses[1] <= client.LONGEST_PAUSE_SECONDS * 1.25


@pytest.mark.parametrize(
    ("status", "class_"), [(404, kube.NotFound), (409, kube.Conflict), (422, kube.Invalid)]
)
async def test_a_refusal_is_not_asked_again(wire, status, class_):
    wire.answer(status, {"message": "no"})
    with pytest.raises(class_, match="get /api/v1/namespaces/team/configmaps/c: [0-9]+: no"):
        await wire.api.get(kube.CONFIG_MAP, "team", "c")
    assert len(wire.requests) == 1


async def test_a_proxys_page_is_a_refusal_like_any_other():
    assert client._status(b"<html>bad gateway</html>") == {"message": "<html>bad gateway</html>"}


async def test_the_pace_holds_back_beyond_the_burst(monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(client.asyncio, "sleep", sleep)
    monkeypatch.setattr(client.time, "monotonic", lambda: 0.0)
    pace = Pace(qps=10, burst=2)
    for _ in range(4):
        await pace.wait()
    assert waits == pytest.approx([0.1, 0.2])
