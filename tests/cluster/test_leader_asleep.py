"""A leader that sleeps while another leads does no harm when it wakes.

What guards it, in the order in which a write meets it:

- The lease is asked again right before each attempt to send a write, also after a pause, by a
  clock that counts the time asleep (CLOCK_BOOTTIME): what waited in the process isn't sent.
- A write that has no connection yet when the lease could run out is given up.
- What was on its way already carries what it was decided on: a status its uid and
  resourceVersion, so does an apply to a child (one that brings a child in: that there is none),
  a delete the child's uid, a create a name that is given once and its owner's uid. So it is
  refused, or makes what the garbage collector or the next leader takes away again.

The sleeping replica speaks to the API server by a wire of the test's own, which can hold a
request that has left, or answer it with "later".
"""

import asyncio
import base64
import contextlib
import dataclasses
import json
import signal
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from fairlead_api import names
from fairlead_operator import kube

pytestmark = pytest.mark.cluster

AGENT = f"{names.MANAGER_OPERATOR}/one"
"""How the wire signs what it carries, so that the audit log tells the replicas apart."""
VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
NOBODYS = {"leases", "tokenreviews", "secrets"}
PRESENT = [kind for kind in kube.CHILDREN if kind not in kube.OPTIONAL]
CREATED, GONE, CONFLICT = 201, 404, 409
NUM_BURST = 60
LET_GO_SECONDS = 300
"""For some dozens of requests one after the other; it usually takes two."""
STOPPED_AT = 12
"""The Job in whose middle the leader stops: each of its 32 workers may have one under way."""


@dataclasses.dataclass
class Sent:
    """A write that left the replica."""

    verb: str
    plural: str
    name: str
    at: datetime
    code: int = 0

    @classmethod
    def of(cls, request, body):
        """Read the path; a create has its object's name in the body."""
        verb, parts = VERBS[request.method], request.path.split("/")
        place = parts.index("namespaces") + 2 if "namespaces" in parts else len(parts) - 1
        told = parts[place + 1] if place + 1 < len(parts) else ""
        name = told or json.loads(body).get("metadata", {}).get("name", "")
        return cls(verb, parts[place], name, datetime.now(UTC))


class Wire:
    """Carries one replica's requests to the API server."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        self._server = config["clusters"][0]["cluster"]["server"]
        self._context = _context(config)
        self._let_go = asyncio.Event()
        self.kubeconfig = folder / "wire.kubeconfig"
        self.holds: Callable[[Sent], bool] = lambda sent: False
        self.puts_off: Callable[[Sent], bool] = lambda sent: False
        self.hears: Callable[[Sent], None] = lambda sent: None
        self.held: list[Sent] = []
        self.sent: list[Sent] = []

    @contextlib.asynccontextmanager
    async def carrying(self):
        """Listen, and write down where."""
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._carry)
        runner = web.AppRunner(app, shutdown_timeout=1)
        async with aiohttp.ClientSession(connector=connector) as self._session:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.kubeconfig.write_text(yaml.safe_dump(_config(f"http://127.0.0.1:{port}")))
            yield self
            await runner.cleanup()

    async def let_go(self):
        """Pass on what is held, in its order; returns once all of it is answered."""
        self._let_go.set()
        async with asyncio.timeout(LET_GO_SECONDS):
            await self._are_answered(self.held)

    async def _are_answered(self, held):
        while not all(sent.code for sent in held):
            await asyncio.sleep(0.05)

    async def _carry(self, request):
        body = await request.read()
        if request.method not in VERBS:
            return await self._pass_on(request, body)
        sent = Sent.of(request, body)
        self.sent.append(sent)
        self.hears(sent)
        if self.puts_off(sent):
            return web.json_response({"message": "later"}, status=503, headers={"Retry-After": "8"})
        if self.holds(sent):
            earlier = [*self.held]
            self.held.append(sent)
            await self._let_go.wait()
            await self._are_answered(earlier)
        return await self._pass_on(request, body, sent)

    async def _pass_on(self, request, body, sent=None):
        headers = {
            key: value
            for key, value in request.headers.items()
            if key in ("Accept", "Content-Type")
        } | {"User-Agent": AGENT}
        url = self._server + request.path_qs
        options = {"headers": headers, "data": body or None}
        async with self._session.request(request.method, url, **options) as answer:
            if sent:
                sent.code = answer.status
            reply = web.StreamResponse(status=answer.status)
            reply.content_type = answer.content_type
            await reply.prepare(request)
            with contextlib.suppress(ConnectionError):  # the replica is gone
                async for chunk in answer.content.iter_any():
                    await reply.write(chunk)
                await reply.write_eof()
            return reply


def _context(config):
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as pair:
        for part in ("client-certificate-data", "client-key-data"):
            pair.write(base64.b64decode(user[part]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


def _config(server):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "wire", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": {}}],
        "contexts": [{"name": "wire", "context": {"cluster": "wire", "user": "one"}}],
        "current-context": "wire",
    }


@pytest.fixture
async def wire(cluster, tmp_path):
    async with Wire(cluster.kubeconfig, tmp_path).carrying() as carrying:
        yield carrying


SPECS = {
    names.FINETUNEJOB: {
        "model": {"uri": "pvc://work/base"},
        "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "work"},
    },
    names.MODELSERVICE: {"model": {"uri": "pvc://work/base"}},
}


class Desk:
    """What a user does with one resource, and how it stands."""

    def __init__(self, api, until, team, kind, name):
        self._api, self._until = api, until
        self.kind, self.team, self.name = kind, team, name

    async def make(self):
        head = {"name": self.name, "namespace": self.team}
        body = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": head}
        await self._api.create(body | {"spec": SPECS[self.kind.kind]})

    async def live(self):
        return await self._api.get(self.kind, self.team, self.name)

    async def version(self):
        return (await self.live())["metadata"]["resourceVersion"]

    async def delete(self):
        uid = (await self.live())["metadata"]["uid"]
        await self._api.delete(self.kind, self.team, self.name, uid)

    async def suspend(self, *, wanted):
        head = {"name": self.name, "namespace": self.team}
        body = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": head}
        await self._api.apply(body | {"spec": {"suspend": wanted}}, manager="user")

    async def scale(self, replicas):
        head = {"name": self.name, "namespace": self.team}
        body = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": head}
        await self._api.apply(body | {"spec": {"replicas": replicas}}, manager="user")

    async def scale_to_two(self):
        await self.scale(2)

    async def scale_to_three(self):
        await self.scale(3)

    async def has_three(self):
        """Wait until the Deployment has as many replicas as were asked for last, and their pods."""

        async def scaled():
            return await self._num_replicas() == await self._num_pods() == 3

        await self._until(scaled, f"{self.name} has three replicas")

    async def _num_replicas(self):
        """How many replicas the Deployment of the resource is to have; None without one."""
        uid = (await self.live())["metadata"]["uid"]
        heads = [h["metadata"] for h in await self._api.list_heads(kube.DEPLOYMENT, self.team)]
        for head in heads:
            if head["ownerReferences"][0]["uid"] == uid:
                live = await self._api.get(kube.DEPLOYMENT, self.team, head["name"])
                return live["spec"]["replicas"]
        return None

    async def _num_pods(self):
        return [kind for kind, _ in await self.children()].count(kube.POD.kind)

    async def remake(self):
        await self.delete()
        await self.make()

    async def pause(self):
        await self.suspend(wanted=True)

    async def nothing(self):
        """Leave it to the operator."""

    async def runs(self, attempt=1):
        """Wait until an attempt of the first stage has its pod, and no older one is left."""

        async def running():
            live = await self.live()
            batch = await self._api.get(kube.JOB, self.team, self.job(attempt))
            stage = (live.get("status") or {"stages": [{}]})["stages"][0]
            told = (stage.get("state"), stage.get("attempt"))
            num_pods = batch["status"].get("active")
            is_told = told == ("Running", attempt)
            return is_told and num_pods and await self._num_pods() == num_pods

        await self._until(running, f"{self.name} prepares")

    async def serves(self):
        """Wait until the Deployment stands with its pods, no older ones, and the status says so."""

        async def told():
            is_seen = ((await self.live()).get("status") or {}).get("observedGeneration")
            return is_seen and await self._num_replicas() == await self._num_pods()

        await self._until(told, f"{self.name} has a Deployment")

    async def is_suspended(self):
        async def told():
            children = [name for kind, name in await self.children() if kind in ("Job", "Pod")]
            return (await self.live())["status"].get("phase") == "Suspended" and not children

        await self._until(told, f"{self.name} is suspended")

    async def resume_once_suspended(self):
        await self.is_suspended()
        await self.suspend(wanted=False)

    async def runs_again(self):
        await self.runs(attempt=2)

    async def stands(self):
        """Wait until what the operator does at first is done."""
        await (self.serves() if self.kind == kube.MODELSERVICE else self.runs())

    async def leaves_nothing(self):
        async def gone():
            return not await self.children()

        await self._until(gone, f"nothing is left of {self.name}")

    def job(self, attempt=1):
        return names.stage_job_name(self.name, "prepare", attempt)

    async def children(self):
        """The uid of each child, by kind and name."""
        return {
            (kind.kind, head["metadata"]["name"]): head["metadata"]["uid"]
            for kind in PRESENT
            for head in await self._api.list_heads(kind, self.team)
            if self.is_mine(head["metadata"]["name"])
        }

    def is_mine(self, name):
        return name == self.name or name.startswith(f"{self.name}-")


@dataclasses.dataclass(frozen=True)
class Case:
    """A write that is on its way while the leader sleeps, and what happens meanwhile."""

    verb: str
    plural: str
    meanwhile: Callable[[Desk], Awaitable[None]]
    rests: Callable[[Desk], Awaitable[None]]
    codes: set[int]
    """How the API server may answer the write when it comes in at last."""
    kind: kube.Kind = kube.FINETUNEJOB
    before: Callable[[Desk], Awaitable[None]] | None = None
    """Done to a resource that stands, while the first still leads: it leads to the write."""

    def is_this(self, name, sent):
        """Whether a write is the one that is held."""
        return (sent.verb, sent.plural) == (self.verb, self.plural) and (
            sent.name == name or sent.name.startswith(f"{name}-")
        )


CASES = {
    "told": Case("patch", "finetunejobs", Desk.remake, Desk.runs, {CONFLICT}),
    "kept": Case("patch", "finetunejobs", Desk.nothing, Desk.runs, {CONFLICT}),
    "remade": Case("create", "jobs", Desk.remake, Desk.runs, {CONFLICT}),
    "same": Case("create", "jobs", Desk.nothing, Desk.runs, {CONFLICT}),
    "gone": Case("create", "jobs", Desk.delete, Desk.leaves_nothing, {CREATED}),
    "paused": Case("create", "jobs", Desk.pause, Desk.is_suspended, {CREATED}),
    "stopped": Case(
        "delete", "jobs", Desk.resume_once_suspended, Desk.runs_again, {GONE}, before=Desk.pause
    ),
    "served": Case(
        *("patch", "deployments", Desk.remake, Desk.serves, {CONFLICT}), kind=kube.MODELSERVICE
    ),
    "scaled": Case(
        *("patch", "deployments", Desk.scale_to_three, Desk.has_three, {CONFLICT}),
        kind=kube.MODELSERVICE,
        before=Desk.scale_to_two,
    ),
}
"""By the name of the resource."""


PATIENT = "patient"
"""A resource whose Job the API server can't take yet: its write waits for the next try."""


@pytest.fixture
def desk(api, until, team):
    return lambda name, kind=kube.FINETUNEJOB: Desk(api, until, team, kind, name)


@pytest.fixture
def written_since(cluster):
    """What the replica behind the wire wrote to resources and children, by the audit log."""

    def read(moment):
        return [
            (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
            for event in cluster.audited(f'"{AGENT}"')
            if event["verb"] in VERBS.values()
            and event["objectRef"]["resource"] not in NOBODYS
            and datetime.fromisoformat(event["requestReceivedTimestamp"]) > moment
        ]

    return read


async def followed(start, one):
    """Stop a leader and let another one follow."""
    two = start("two")
    one.process.send_signal(signal.SIGSTOP)
    await two.leading()
    return two


async def woken(one):
    """Wake a leader that has been followed; returns when, once it has left."""
    moment = datetime.now(UTC)
    assert await asyncio.to_thread(one.stop, signal.SIGCONT) == 1, "it must leave by itself"
    assert one.has_lost_its_lease()
    return moment


async def test_what_a_leader_sent_or_had_yet_to_send_before_it_slept_is_harmless(
    start, wire, desk, until, alike, written_since
):
    one = start("one", KUBECONFIG=str(wire.kubeconfig))
    await one.leading()
    desks = {name: desk(name, case.kind) for name, case in CASES.items()}
    patient = desk(PATIENT)
    for name, case in CASES.items():
        if case.before:
            await desks[name].make()
            await desks[name].stands()
    wire.holds = lambda sent: any(case.is_this(name, sent) for name, case in CASES.items())
    wire.puts_off = lambda sent: sent.verb == "create" and sent.name == patient.job()
    for name, case in CASES.items():
        await (case.before or Desk.make)(desks[name])
    await patient.make()

    async def all_on_their_way():
        held = [
            name for name, case in CASES.items() if any(case.is_this(name, s) for s in wire.held)
        ]
        return len(held) == len(CASES) and any(map(wire.puts_off, wire.sent))

    await until(all_on_their_way, f"every write is on its way: {wire.held}")
    await followed(start, one)
    await asyncio.gather(*(case.meanwhile(desks[name]) for name, case in CASES.items()))
    await asyncio.gather(*(case.rests(desks[name]) for name, case in CASES.items()))
    await patient.runs()
    before = {name: await desks[name].children() for name in CASES}

    await wire.let_go()

    answers = {
        name: [sent.code for sent in wire.held if case.is_this(name, sent)]
        for name, case in CASES.items()
    }
    print(answers)
    for name, case in CASES.items():
        # One that was held for long before the leader slept has been sent again by then.
        first, *repeats = answers[name]
        assert first in case.codes, name
        assert {*repeats} <= case.codes | {CONFLICT}, name

        async def earlier(name=name):
            return before[name]

        await alike(desks[name].children, earlier)
        await case.rests(desks[name])
    moment = await woken(one)
    assert [sent for sent in wire.sent if sent.at > moment and sent.plural not in NOBODYS] == []
    assert written_since(moment) == []


async def test_a_leader_stopped_in_a_burst_changes_nothing_when_it_wakes(
    api, team, start, wire, desk, until, written_since
):
    one = start("one", KUBECONFIG=str(wire.kubeconfig))
    await one.leading()
    two = start("two")
    desks = [desk(f"burst-{number}") for number in range(NUM_BURST)]

    def stop_in_the_middle(sent):
        if len([each for each in wire.sent if each.plural == "jobs"]) == STOPPED_AT:
            one.process.send_signal(signal.SIGSTOP)

    wire.hears = stop_in_the_middle
    await asyncio.gather(*(each.make() for each in desks))
    await two.leading()

    async def all_begun():
        return len(await api.list_heads(kube.JOB, team)) == NUM_BURST

    async def children():
        heads = [h for kind in PRESENT for h in await api.list_heads(kind, team)]
        return {head["metadata"]["uid"] for head in heads}

    await until(all_begun, "every job of the burst begins")
    for each in desks:
        await each.runs()
    before = [await each.version() for each in desks], await children()

    moment = await woken(one)

    late = written_since(moment)
    left = [each for each in wire.sent if each.plural == "jobs" and each.at < moment]
    print(f"{len(left)} of {NUM_BURST} Jobs were its own; after it woke: {late}")
    assert len(left) < NUM_BURST, "it was stopped too late for this test"
    # One write may stand between the last question and the socket, and has been overtaken.
    assert [code for *_, code in late] in ([], [CONFLICT])
    assert ([await each.version() for each in desks], await children()) == before
