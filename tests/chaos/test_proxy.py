"""The proxy between a client of the test's own and a real API server: what each fault does."""

import asyncio
import contextlib
import dataclasses
import io
import json
import os
import time
import uuid

import aiohttp
import pytest

from fairlead_chaos import faults
from fairlead_chaos.faults import Kill, Moment, Plan, Told, Write
from fairlead_chaos.proxy import Proxy
from fairlead_chaos.upstream import Upstream
from fairlead_cluster import settings, up

pytestmark = pytest.mark.cluster
PATIENCE_SECONDS = 180  # other work runs on the same cores
LABEL = "chaos.test/proxy"
SELECTOR = f"labelSelector={LABEL}"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.fixture(scope="session")
def upstream():
    """The shared control plane, brought up or reused."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    name = os.environ.get("FAIRLEAD_TEST_CLUSTER", "fairlead-test")
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(name))
    opened = up.up(chosen, up.Wanted(control_plane_only=True, num_simulated_gpu_nodes=4))
    return Upstream.of(opened.where.kubeconfig)


async def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.02)
    return found


def config_map(name, **data):
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
        return await self.ask("POST", body=config_map(name, **data))

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

        return await until(came, f"{last} among {self.told}")


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
        await until(lambda: self.caller.session.closed, "killed")
        self.proxy.incarnation += 1
        self.caller = Caller(self.proxy.url, self.path)

    async def informer(self):
        informer = Informer(self.caller)
        informer.task = asyncio.create_task(informer.run())
        self.tasks.append(informer.task)
        await until(lambda: informer.num_streams, "the informer watches")
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

    async def start(*plan):
        started.append(await Chaos(upstream, direct.path, plan).start())
        return started[-1]

    yield start
    for one in started:
        await one.close()


@contextlib.asynccontextmanager
async def gone():
    """What the operator sees when its connection breaks, or it is dead itself."""
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        yield


def sent(chaos):
    return [
        (one.write.verb, one.write.resource, one.write.name, one.write.nth, one.code, one.answered)
        for one in chaos.trace.sent
    ]


# Without faults.


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


async def test_each_write_is_numbered_named_and_said_to_have_an_effect_or_none(chaos):
    one = await chaos()
    through, apply = one.caller, {"content": APPLY}
    force = "?fieldManager=test&force=true"
    applied = config_map("applied", n="1")
    assert (await through.create("made", n="0"))[0] == 201
    assert (await through.create("made", n="0"))[0] == 409
    assert (await through.edit("made", n="1"))[0] == 200
    assert (await through.edit("made", n="1"))[0] == 200
    assert (await through.ask("PATCH", "applied", applied, force, **apply))[0] == 201
    assert (await through.ask("PATCH", "applied", applied, force, **apply))[0] == 200
    generated = config_map("") | {"metadata": {"generateName": "some-", "labels": {LABEL: ""}}}
    code, made = await through.ask("POST", body=generated)
    assert (code, (await through.delete(made["metadata"]["name"]))[0]) == (201, 200)
    assert (await through.ask("DELETE", query=f"?{SELECTOR}"))[0] == 200
    found = [
        (one.number, one.write.verb, one.write.name, one.write.nth, one.is_new, one.has_effect)
        for one in one.trace.sent
    ]
    assert found == [
        (1, "create", "made", 1, True, True),
        (2, "create", "made", 2, False, True),
        (3, "patch", "made", 1, False, True),
        (4, "patch", "made", 2, False, False),
        (5, "patch", "applied", 1, True, True),
        (6, "patch", "applied", 2, False, False),
        (7, "create", "some-*", 1, True, True),
        (8, "delete", "some-*", 1, False, True),
        (9, "delete", "*", 1, False, True),
    ]
    assert {one.answered for one in one.trace.sent} == {"relayed"}


async def test_write_without_effect_is_known_from_a_listing_alone(chaos, direct):
    await direct.create("made", n="1")
    one = await chaos()
    await one.caller.list()
    await one.caller.edit("made", n="1")
    await one.caller.edit("made", n="2")
    assert [one.has_effect for one in one.trace.sent] == [False, True]


async def test_heartbeats_are_put_down_apart(chaos):
    one = await chaos()
    path = one.path.replace("/api/v1/", "/apis/coordination.k8s.io/v1/").replace(
        "configmaps", "leases"
    )
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leader"},
        "spec": {},
    }
    assert (await one.caller.raw("POST", path, lease))[0] == 201
    assert one.trace.sent == []
    assert [(one.number, one.write) for one in one.trace.apart] == [
        (0, Write("create", "leases", "leader"))
    ]


async def test_token_says_who_asks_and_without_one_it_is_the_administrator(chaos, direct):
    through = (await chaos()).caller
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
    names = []
    for headers in (bearer, {}):
        _, content, _ = await through.raw("POST", path, review, **headers)
        names.append(json.loads(content)["status"]["userInfo"]["username"])
    assert names[0] == f"system:serviceaccount:{namespace}:default"
    assert "serviceaccount" not in names[1]


# Faults at requests.

KILLS = [
    pytest.param(Moment.BEFORE_SEND, False, 0, "nothing", id="before-send"),
    pytest.param(Moment.AFTER_COMMIT, True, 201, "nothing", id="after-commit"),
    pytest.param(Moment.AFTER_REPLY, True, 201, "relayed", id="after-reply"),
]


@pytest.mark.parametrize(("moment", "is_made", "code", "answered"), KILLS)
async def test_kill_around_a_write(chaos, direct, moment, is_made, code, answered):
    point = Write("create", "configmaps", "made")
    one = await chaos(Kill(point, moment))
    await one.caller.create("other")
    if moment == Moment.AFTER_REPLY:
        one.may_die.clear()
        assert (await one.caller.create("made"))[0] == 201
        one.may_die.set()
    else:
        async with gone():
            await one.caller.create("made")
    await one.restart()
    assert ("made" in (await direct.list())[0]) == is_made
    assert (await one.caller.create("made"))[0] == (409 if is_made else 201)
    assert one.num_kills == 1
    assert one.trace.reached == [point]
    assert sent(one)[1:] == [
        ("create", "configmaps", "made", 1, code, answered),
        ("create", "configmaps", "made", 2, 409 if is_made else 201, "relayed"),
    ]
    assert [one.incarnation for one in one.trace.sent] == [1, 1, 2]


REFUSALS = [
    pytest.param(409, "Conflict", None, id="conflict"),
    pytest.param(429, "TooManyRequests", 1, id="too-many"),
    pytest.param(500, "InternalError", None, id="internal"),
    pytest.param(504, "Timeout", 2, id="timeout"),
]


@pytest.mark.parametrize(("code", "reason", "retry_after"), REFUSALS)
async def test_refused_request_is_answered_as_the_api_server_does(
    chaos, direct, code, reason, retry_after
):
    await direct.create("made", n="0")
    point = Write("patch", "configmaps", "made", 2)
    one = await chaos(faults.Refuse(point, code, 2, retry_after))
    codes = [(await one.caller.edit("made", n="1"))[0]]
    _, content, headers = await one.caller.raw(
        "PATCH", f"{one.path}/made", {"data": {"n": "2"}}, **{"Content-Type": MERGE}
    )
    status = json.loads(content)
    assert (status["kind"], status["code"], status["reason"]) == ("Status", code, reason)
    assert headers.get("Retry-After") == (str(retry_after) if retry_after else None)
    assert status["details"].get("retryAfterSeconds") == retry_after
    codes += [(await one.caller.edit("made", n="3"))[0], (await one.caller.edit("made", n="4"))[0]]
    assert codes == [200, code, 200]
    assert (await direct.list())[0]["made"] == {"n": "4"}
    assert [entry[-1] for entry in sent(one)] == ["relayed", "refused", "refused", "relayed"]
    assert one.trace.reached == [point]


async def test_conflict_is_worded_as_the_api_servers_own(chaos, direct):
    await direct.create("made", n="0")
    one = await chaos(faults.Refuse(Write("update", "configmaps", "made", 2), 409))
    stale = config_map("made", n="1")
    stale["metadata"]["resourceVersion"] = "1"
    real = await one.caller.ask("PUT", "made", stale)
    assert await one.caller.ask("PUT", "made", stale) == real
    assert [one.code for one in one.trace.sent] == [409, 0]


async def test_lost_reply_breaks_the_connection_and_nobody_dies(chaos, direct):
    point = Write("create", "configmaps", "made")
    one = await chaos(faults.LoseReply(point))
    async with gone():
        await one.caller.create("made")
    assert "made" in (await direct.list())[0]
    assert (await one.caller.create("made"))[0] == 409
    assert (one.num_kills, one.trace.reached) == (0, [point])
    assert [entry[-1] for entry in sent(one)] == ["lost", "relayed"]


async def test_api_server_out_of_reach_breaks_the_connection(upstream, direct, chaos):
    one = await chaos()
    nowhere = dataclasses.replace(upstream, url="https://127.0.0.1:1")
    lone = await Chaos(nowhere, direct.path, ()).start()
    try:
        for method in ("GET", "POST"):
            async with gone():
                await lone.caller.ask(method, body=config_map("made"))
        assert sent(lone) == [("create", "configmaps", "made", 1, 0, "lost")]
    finally:
        await lone.close()
    assert (await one.caller.create("made"))[0] == 201


# Faults at watch events.

ADDED = ("ADDED", "made", "0")
OTHER = ("MODIFIED", "other", "1")


def edits(*numbers):
    return [("MODIFIED", "made", str(number)) for number in numbers]


def told(type_, name, nth=1):
    return Told(type_, "configmaps", name, nth)


FIRST_EDIT = told("MODIFIED", "made")
BLINDED = [
    pytest.param([], [ADDED, *edits(1, 2), OTHER, *edits(3)], id="undisturbed"),
    pytest.param([faults.Hold(FIRST_EDIT, 1.5)], [ADDED, OTHER, *edits(1, 2, 3)], id="hold"),
    pytest.param([faults.Drop(FIRST_EDIT)], [ADDED, *edits(2), OTHER, *edits(3)], id="drop"),
    pytest.param(
        [faults.Replay(FIRST_EDIT, told("MODIFIED", "made", 2))],
        [ADDED, *edits(1, 2, 1), OTHER, *edits(3)],
        id="replay",
    ),
    pytest.param([faults.Cut(FIRST_EDIT)], [ADDED, *edits(1, 2), OTHER, *edits(3)], id="cut"),
    pytest.param(
        [faults.Stall(FIRST_EDIT, 1.5)], [ADDED, *edits(1, 2), OTHER, *edits(3)], id="stall"
    ),
]


@pytest.mark.parametrize(("plan", "expected"), BLINDED)
async def test_what_the_informer_is_told(chaos, direct, plan, expected):
    await direct.create("other", n="0")
    one = await chaos(*plan)
    informer = await one.informer()
    await direct.create("made", n="0")
    await informer.until(*ADDED)
    for caller_name, n in (("made", "1"), ("made", "2"), ("other", "1"), ("made", "3")):
        await direct.edit(caller_name, n=n)
    await informer.until("MODIFIED", "made", "3")
    assert informer.told == expected
    assert informer.listed == {"other": {"n": "0"}}
    assert one.trace.reached == [faults.point(fault) for fault in plan]
    assert informer.num_streams == (2 if isinstance((plan or [None])[0], faults.Cut) else 1)
    late = [fault.seconds for fault in plan if isinstance(fault, faults.Hold | faults.Stall)]
    waited = informer.times[-1] - informer.times[0]
    assert not late or waited >= late[0]


async def test_event_told_anew_by_a_later_stream_keeps_its_number(chaos, direct):
    one = await chaos(faults.Cut(told("ADDED", "made")))
    informer = await one.informer()
    await direct.create("made", n="0")
    await informer.until(*ADDED)
    assert [entry.told for entry in one.trace.heard] == [told("ADDED", "made")] * 2
    assert [entry.number for entry in one.trace.heard] == [1, 2]


@pytest.mark.parametrize(
    ("moment", "is_told"),
    [
        pytest.param(Moment.BEFORE_SEND, False, id="before"),
        pytest.param(Moment.AFTER_REPLY, True, id="after"),
    ],
)
async def test_kill_around_an_event(chaos, direct, moment, is_told):
    one = await chaos(Kill(told("ADDED", "made"), moment))
    informer = await one.informer()
    await direct.create("before", n="0")
    await direct.create("made", n="0")
    await direct.create("after", n="0")
    await until(lambda: one.num_kills, "killed")
    # What was flushed may still be read by the test's client, which no signal ends.
    assert ("after" in [name for _, name, _ in informer.told]) is False
    assert (ADDED in informer.told) <= is_told
    assert one.trace.heard[-1].told == told("ADDED", "made")
    await one.restart()
    again = await one.informer()
    assert set(again.listed) == {"before", "made", "after"}


async def test_restart_ends_what_was_held(chaos, direct):
    last = Write("create", "configmaps", "last")
    one = await chaos(faults.Hold(told("ADDED", "made"), 3600), Kill(last, Moment.BEFORE_SEND))
    informer = await one.informer()
    await direct.create("made", n="0")
    await direct.create("other", n="0")
    await informer.until("ADDED", "other", "0")
    async with gone():
        await one.caller.create("last")
    await one.restart()
    again = await one.informer()
    await direct.edit("made", n="1")
    await again.until("MODIFIED", "made", "1")
    assert again.told == edits(1)
    assert informer.told == [("ADDED", "other", "0")]


# Old lists.

HEADS = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
AT = Write("create", "configmaps", "last")
AS_OF = [
    pytest.param(told("MODIFIED", "made"), id="as-of-an-event"),
    pytest.param(Write("patch", "configmaps", "made"), id="as-of-a-write"),
]


@pytest.mark.parametrize("audited", [False, True], ids=["true-audit", "old-audit"])
@pytest.mark.parametrize("as_of", AS_OF)
async def test_restart_is_shown_the_past_until_it_is_told_the_rest(chaos, direct, as_of, audited):
    old = faults.OldList(("configmaps",), as_of, 2.0, audited)
    one = await chaos(Kill(AT, Moment.AFTER_COMMIT), old)
    informer = await one.informer()
    for name in ("a", "b", "c", "made", "gone"):  # three pages of two
        await one.caller.create(name, n="0")
    await one.caller.edit("made", n="1")
    await direct.delete("gone")
    await direct.create("late", n="0")
    await informer.until("ADDED", "late", "0")
    async with gone():
        await one.caller.create("last")
    await one.restart()
    began = time.monotonic()
    again = await one.informer()
    past = {name: {"n": "0"} for name in ("a", "b", "c", "made", "gone")}
    assert again.listed == past
    heads, _ = await one.caller.list(**HEADS)
    assert (heads.keys() == past.keys()) == audited
    await again.until("ADDED", "last", None)
    assert again.told == [
        ("MODIFIED", "made", "1"),
        ("DELETED", "gone", "0"),
        ("ADDED", "late", "0"),
        ("ADDED", "last", None),
    ]
    assert again.times[0] - began >= 2.0
    heads, _ = await one.caller.list(**HEADS)
    present = {"a", "b", "c", "made", "late", "last"}
    assert heads.keys() == present
    assert (await one.caller.list())[0].keys() == present
    assert one.trace.reached == [AT, as_of]


async def test_second_restart_is_shown_the_present(chaos, direct):
    old = faults.OldList((), Write("create", "configmaps", "made"), 3600.0)
    kills = [Kill(AT, Moment.BEFORE_SEND), Kill(dataclasses.replace(AT, nth=2), Moment.BEFORE_SEND)]
    one = await chaos(*kills, old)
    await one.caller.create("made")
    for expected in ({}, {"made": None}):
        async with gone():
            await one.caller.create("last")
        await one.restart()
        assert (await one.caller.list())[0] == expected
