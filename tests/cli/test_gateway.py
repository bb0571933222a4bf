"""Where a gateway listens, from what the API server says of it."""

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
    ("addresses", "listeners", "expected"),
    [
        (["10.0.0.1"], [("HTTP", 80)], "http://10.0.0.1:80"),
        (["lb.example"], [("HTTPS", 443), ("HTTP", 8080)], "http://lb.example:8080"),
        (["10.0.0.1"], [("HTTPS", 443)], None),
        ([], [("HTTP", 80)], None),
    ],
    ids=["one listener", "the one of HTTP", "HTTPS only", "no address yet"],
)
def test_address_is_the_gateways_with_the_port_that_speaks_http(addresses, listeners, expected):
    found = {
        "spec": {"listeners": [{"protocol": name, "port": port} for name, port in listeners]},
        "status": {"addresses": [{"value": value} for value in addresses]},
    }
    assert gateway.address(found) == expected
