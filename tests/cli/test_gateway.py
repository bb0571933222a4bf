"""The way to a service by its gateway, from what the API server says of both."""

import pytest

from fairlead_cli import gateway


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ([{"name": "shared", "namespace": "infra"}], ("infra", "shared")),
        ([{"name": "own"}], ("demo", "own")),
        ([{"kind": "Service", "name": "mesh"}, {"name": "own"}], ("demo", "own")),
        ([], None),
    ],
    ids=["another namespace", "the route's namespace", "not a mesh's Service", "none"],
)
def test_gateway_is_the_first_that_the_route_hangs_on(references, expected):
    route = {"metadata": {"namespace": "demo"}, "spec": {"parentRefs": references}}
    assert gateway.parent(route) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"addresses": [{"value": "10.0.0.1"}, {"value": "10.0.0.2"}]}, "10.0.0.1"),
        ({"addresses": []}, None),
        ({}, None),
    ],
    ids=["the first", "none yet", "not seen by its controller"],
)
def test_address_is_the_gateways_first(status, expected):
    assert gateway.address({"status": status}) == expected


@pytest.mark.parametrize(
    ("address", "url", "expected"),
    [
        ("10.0.0.1", "http://units.demo.local", "http://10.0.0.1"),
        ("lb.example", "https://units.demo.local:8443", "https://lb.example:8443"),
        ("fd00::1", "http://units.demo.local:8080", "http://[fd00::1]:8080"),
    ],
    ids=["plain", "another scheme and port", "IPv6"],
)
def test_scheme_and_port_are_those_of_the_services_url(address, url, expected):
    assert gateway.through(address, url) == expected
