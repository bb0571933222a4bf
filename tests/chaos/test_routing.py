"""The simulated gateway controller says what a real one says, and each thing once."""

import asyncio

import aiohttp
import pytest

from fairlead_chaos import routing
from fairlead_chaos.admin import Admin
from fairlead_chaos.scenarios import manifests
from fairlead_chaos.world import ApiHands
from fairlead_operator import kube

EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
EDGE = {"kind": "Gateway", "namespace": "team", "name": "edge"}


def gateways(**listener):
    return {"edge": manifests.gateway("edge", **listener)}


def route(*refs, generation=1, hostnames=("a.example.com",), said=None):
    return {
        "metadata": {"name": "served", "namespace": "team", "generation": generation},
        "spec": {
            "parentRefs": list(refs or (EDGE,)),
            "hostnames": list(hostnames),
            "rules": [{"backendRefs": [{"name": "served-one", "port": 80}]}],
        },
        "status": {"parents": said or []},
    }


def answer(found, known=None, services=("served-one",), now=NOW):
    return routing.parents(found, gateways() if known is None else known, services, now)


def told(answers):
    return {
        one["type"]: (one["status"], one["reason"])
        for each in answers
        for one in each["conditions"]
    }


def test_a_route_that_fits_is_taken_in_as_of_its_generation():
    (one,) = answer(route(generation=3))
    assert told([one]) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    assert one["parentRef"] == EDGE
    assert {each["observedGeneration"] for each in one["conditions"]} == {3}


@pytest.mark.parametrize(
    ("ref", "listener", "reason"),
    [
        pytest.param({}, {"hostname": "*.example.org"}, "NoMatchingListenerHostname", id="suffix"),
        pytest.param({}, {"hostname": "b.example.com"}, "NoMatchingListenerHostname", id="name"),
        pytest.param({"sectionName": "https"}, {}, "NoMatchingParent", id="listener"),
    ],
)
def test_a_route_that_no_listener_is_for_is_refused(ref, listener, reason):
    found = told(answer(route(EDGE | ref), gateways(**listener)))
    assert found["Accepted"] == ("False", reason)


@pytest.mark.parametrize("hostname", [None, "", "*.example.com", "a.example.com"])
def test_a_listener_takes_its_own_host_names(hostname):
    known = gateways(**({} if hostname is None else {"hostname": hostname}))
    assert told(answer(route(), known))["Accepted"] == ("True", "Accepted")


def test_a_route_to_no_service_is_accepted_and_not_resolved():
    found = told(answer(route(), services=()))
    assert found == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", "BackendNotFound")}


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param({"name": "absent"}, id="absent"),
        pytest.param({"namespace": "elsewhere"}, id="elsewhere"),
    ],
)
def test_of_a_gateway_that_is_not_its_own_it_says_nothing(ref):
    answers = answer(route(EDGE | ref, EDGE))
    assert [each["parentRef"] for each in answers] == [EDGE]


def test_what_was_said_stands_until_it_changes():
    said = answer(route(), now=EARLIER)
    assert answer(route(said=said)) == said
    (again,) = answer(route(said=said, generation=2), services=())
    times = {one["type"]: one["lastTransitionTime"] for one in again["conditions"]}
    assert times == {"Accepted": EARLIER, "ResolvedRefs": NOW}


class Troubled(Admin):
    """An API server with a route that comes when a watch has broken, and that refuses at first."""

    def __init__(self, breaks, refusals=()):
        super().__init__(None)
        self._breaks, self._refusals = [breaks], list(refusals)
        head = {"uid": "1", "resourceVersion": "2"}
        self._route = route() | {"metadata": route()["metadata"] | head}
        edge = manifests.gateway("edge")
        self._items = {kube.GATEWAY: [edge | {"metadata": {"name": "edge", "namespace": "team"}}]}
        self.written = asyncio.get_running_loop().create_future()

    async def ensure(self, manifest, namespace=None):
        pass

    async def listing(self, kind, namespace=None, **_):
        if namespace == "team" and self._refusals:
            raise self._refusals.pop()
        return {"metadata": {"resourceVersion": "1"}, "items": self._items.get(kind, [])}

    async def watch(self, kind, namespace, params):
        if kind == kube.HTTP_ROUTE and self._breaks:
            self._items[kind] = [self._route]
            raise self._breaks.pop()
        await asyncio.Event().wait()
        yield

    async def patch(self, kind, namespace, name, change, subresource=""):
        self.written.set_result(change["status"]["parents"])
        await asyncio.Event().wait()


BREAKS = [
    pytest.param(aiohttp.ClientPayloadError("cut off"), id="cut"),
    pytest.param(aiohttp.ConnectionTimeoutError("no answer"), id="too-busy"),
    pytest.param(kube.Expired("gone", 410), id="expired"),
    pytest.param(kube.NotFound("not served yet", 404), id="refused"),
]


@pytest.mark.parametrize("error", BREAKS)
async def test_it_goes_on_after_a_watch_that_broke_and_an_answer_that_was_refused(
    error, monkeypatch
):
    monkeypatch.setattr(routing, "BUSY_SECONDS", 0.001)
    admin = Troubled(error, [kube.Unavailable("too busy", 503), aiohttp.ClientError("cut off")])
    async with asyncio.timeout(60), routing.running(admin, "team".__eq__):
        assert told(await admin.written)["Accepted"] == ("True", "Accepted")
    assert admin.futile is None


async def nobody(_):
    raise AssertionError("there is no operator")


DEATHS = [
    pytest.param(ValueError("half a line"), (), id="of-a-watch"),
    pytest.param(kube.Expired("gone", 410), [kube.Invalid("no status", 422)], id="of-an-answer"),
]


@pytest.mark.parametrize(("error", "refusals"), DEATHS)
async def test_nobody_waits_for_one_that_is_dead(error, refusals, monkeypatch):
    monkeypatch.setattr(routing, "BUSY_SECONDS", 0.001)
    died = (refusals or [error])[0]
    admin = Troubled(error, refusals)
    hands = ApiHands(admin, "elsewhere", "node", nobody, patience_seconds=3600)
    with pytest.raises(type(died), match=str(died)):
        async with asyncio.timeout(60), routing.running(admin, "team".__eq__):
            for _ in ("under way", "begun later"):
                with pytest.raises(TimeoutError, match=f"futile.*{died}.*it is there"):
                    await hands.until(kube.POD, "one", bool, "it is there")
