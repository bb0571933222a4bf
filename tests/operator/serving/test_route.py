"""The HTTPRoute: where it hangs, where it leads, what its gateways say."""

import dataclasses

import pytest

from fairlead_api.modelservice import GatewayRef
from fairlead_operator.plan import Observed
from fairlead_operator.serving import route

KEY = "fairlead/gateway"
GATEWAY = {"spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]}}
OWN = {"gatewayRefs": [{"name": "own", "sectionName": "web", "hostnames": ["a.org", "b.org"]}]}


def parent(accepted="True", resolved="True", generation=2, **ref):
    conditions = [
        {
            "type": "Accepted",
            "status": accepted,
            "reason": "NoMatchingListenerHostname",
            "message": "no listener",
            "observedGeneration": generation,
        },
        {
            "type": "ResolvedRefs",
            "status": resolved,
            "reason": "BackendNotFound",
            "observedGeneration": generation,
        },
    ]
    named = {"name": "gateway", "namespace": "fairlead"} | ref
    return {"parentRef": named, "conditions": conditions}


def observed(*parents, gateways=None, has_gateway_api=True):
    manifest = {
        "metadata": {"name": "dates", "namespace": "team", "generation": 2},
        "spec": {"rules": [{"backendRefs": [{"name": "dates-x"}]}]},
        "status": {"parents": list(parents)},
    }
    return Observed(
        routes=(manifest,),
        has_gateway_api=has_gateway_api,
        gateways={KEY: GATEWAY} if gateways is None else gateways,
    )


def test_route_leads_from_the_installations_gateway_to_one_revision(make_service, options):
    spec = route.route(make_service(), "x", options)["spec"]
    assert [(ref["namespace"], ref["name"]) for ref in spec["parentRefs"]] == [
        ("fairlead", "gateway")
    ]
    assert spec["hostnames"] == ["dates.team.example.org"]
    (rule,) = spec["rules"]
    assert rule["backendRefs"] == [{"name": "dates-x", "port": 80, "weight": 1}]


def test_only_the_api_is_routed_and_requests_may_take_long(make_service, options):
    options = dataclasses.replace(options, request_timeout_seconds=120)
    (rule,) = route.route(make_service(), "x", options)["spec"]["rules"]
    assert [match["path"]["value"] for match in rule["matches"]] == ["/v1"]
    assert rule["timeouts"] == {"request": "120s"}


@pytest.mark.parametrize(
    ("refs", "parents", "hostnames"),
    [
        (OWN["gatewayRefs"], [("team", "own", "web")], ["a.org", "b.org"]),
        ([{"name": "g", "namespace": "edge"}], [("edge", "g", None)], ["dates.team.example.org"]),
        (
            [{"name": "g", "hostnames": ["a.org"]}, {"name": "h", "hostnames": ["a.org", "c.org"]}],
            [("team", "g", None), ("team", "h", None)],
            ["a.org", "c.org"],
        ),
    ],
    ids=["own namespace and listener", "another namespace", "two gateways"],
)
def test_gateways_of_the_services_own_choice(make_service, options, refs, parents, hostnames):
    spec = route.route(make_service(gatewayRefs=refs), "x", options)["spec"]
    found = [(ref["namespace"], ref["name"], ref.get("sectionName")) for ref in spec["parentRefs"]]
    assert found == parents
    assert spec["hostnames"] == hostnames


@pytest.mark.parametrize(
    ("seen", "ready", "reason", "message"),
    [
        (observed(parent()), True, "Accepted", "http://dates.team.example.org"),
        (observed(parent(accepted="False")), False, "NotAccepted", "no listener"),
        (observed(parent(resolved="False")), False, "NotAccepted", "BackendNotFound"),
        (observed(), None, "Pending", "has not answered yet"),
        (observed(parent(generation=1)), None, "Pending", "has not answered yet"),
        (observed(parent(accepted="Unknown")), None, "Pending", "has not answered yet"),
        (observed(parent(name="other")), None, "Pending", "has not answered yet"),
        (observed(gateways={KEY: None}), False, "NotAccepted", "there is no Gateway"),
        (observed(has_gateway_api=False), False, "GatewayAPIAbsent", "HTTPRoute"),
    ],
    ids=[
        "accepted",
        "refused",
        "backend missing",
        "silent",
        "stale",
        "undecided",
        "another's answer",
        "no gateway",
        "no gateway api",
    ],
)
def test_state_says_what_the_gateways_say(make_service, options, seen, ready, reason, message):
    found = route.state(make_service(), seen, options)
    assert (found.ready, found.reason) == (ready, reason)
    assert message in found.message


def test_every_gateway_has_to_accept(make_service, options):
    refs = [{"name": "gateway", "namespace": "fairlead"}, {"name": "g", "namespace": "edge"}]
    service = make_service(gatewayRefs=refs)
    seen = observed(parent(), parent(accepted="False", name="g", namespace="edge"))
    assert route.state(service, seen, options).reason == "NotAccepted"


@pytest.mark.parametrize(
    ("spec", "has_gateway_api", "required"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"gatewayRefs": []}, True, False),
        (OWN, False, True),
        (OWN, True, True),
    ],
    ids=["default", "default without the API", "none", "asked for without the API", "asked for"],
)
def test_ready_needs_the_route_where_somebody_asked_for_it(
    make_service, options, spec, has_gateway_api, required
):
    seen = observed(has_gateway_api=has_gateway_api)
    assert route.state(make_service(**spec), seen, options).required is required


@pytest.mark.parametrize(
    ("listeners", "spec", "url"),
    [
        ([("http", "HTTP", 80)], {}, "http://dates.team.example.org"),
        ([("http", "HTTP", 8080)], {}, "http://dates.team.example.org:8080"),
        ([("tls", "HTTPS", 443)], {}, "https://dates.team.example.org"),
        ([], {}, "http://dates.team.example.org"),
        (
            [("http", "HTTP", 80), ("tls", "HTTPS", 8443)],
            {"gatewayRefs": [{"name": "gateway", "namespace": "fairlead", "sectionName": "tls"}]},
            "https://dates.team.example.org:8443",
        ),
        ([("http", "HTTP", 80)], {"gatewayRefs": []}, "http://dates.team.svc"),
    ],
    ids=["http", "another port", "https", "gateway unseen", "named listener", "no gateway"],
)
def test_url_is_where_clients_find_the_service(make_service, options, listeners, spec, url):
    entries = [{"name": n, "protocol": p, "port": port} for n, p, port in listeners]
    seen = observed(gateways={KEY: {"spec": {"listeners": entries}}})
    assert route.url(make_service(**spec), seen, options) == url


def test_url_without_gateway_api_is_the_service(make_service, options):
    seen = observed(has_gateway_api=False)
    assert route.url(make_service(), seen, options) == "http://dates.team.svc"


def test_gateways_to_look_up(make_service, options):
    assert route.gateway_refs(make_service(gatewayRefs=[]), options) == ()
    assert route.gateway_refs(make_service(), options) == (
        GatewayRef(name="gateway", namespace="fairlead"),
    )
    none = dataclasses.replace(options, gateway=None)
    assert route.gateway_refs(make_service(), none) == ()


def test_route_is_removed_when_no_gateway_is_wanted(served):
    assert served.backend() is not None
    served.edit(gatewayRefs=[])
    served.settle()
    assert served.named("HTTPRoute") == []
    assert served.says("Ready") == ("True", "ReplicasReady")
    assert served.status["url"] == "http://dates.team.svc"


def test_service_without_gateway_api_is_ready_by_its_service(make_world):
    world = make_world()
    world.has_gateway_api = False
    world.roll_out()
    assert world.named("HTTPRoute") == []
    assert world.says("RouteReady") == ("False", "GatewayAPIAbsent")
    assert world.says("Ready") == ("True", "ReplicasReady")


def test_refused_route_is_why_the_service_is_not_ready(served):
    parents = served.get("HTTPRoute", "dates")["status"]["parents"]
    parents[0]["conditions"][0].update(status="False", reason="NotAllowedByListeners")
    served.step()
    assert served.says("Ready") == ("False", "NotAccepted")
    assert served.says("Available") == ("True", "ReplicasReady")
    assert served.status["phase"] == "Degraded"


@pytest.mark.parametrize(
    ("parents", "required"),
    [
        ([parent(generation=1)], False),
        ([parent(generation=1, resolved="False")], True),
        ([], True),
        ([parent(generation=1, name="other")], True),
    ],
    ids=["took the route before", "refused it before", "never spoke", "another's answer"],
)
def test_service_stays_ready_while_its_gateway_reads_a_change(
    make_service, options, parents, required
):
    found = route.state(make_service(), observed(*parents), options)
    assert (found.ready, found.required) == (None, required)


def test_gateway_that_refuses_counts_more_than_one_that_reads(make_service, options):
    refs = [{"name": "gateway", "namespace": "fairlead"}, {"name": "g", "namespace": "edge"}]
    seen = observed(parent(generation=1), parent(accepted="False", name="g", namespace="edge"))
    found = route.state(make_service(gatewayRefs=refs), seen, options)
    assert (found.ready, found.reason, found.required) == (False, "NotAccepted", True)
