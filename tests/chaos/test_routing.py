"""The simulated gateway controller says what a real one says, and each thing once."""

import pytest

from fairlead_chaos import routing
from fairlead_chaos.scenarios import manifests

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
