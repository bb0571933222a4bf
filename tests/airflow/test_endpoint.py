"""Where a service answers is told by its status, or by the gateway before it."""

import pytest

from fairlead_airflow import endpoint
from fairlead_airflow.endpoint import Endpoint
from fairlead_api import names

URL = "http://units.team.fairlead.local"


def body(url=URL, **spec):
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "units", "namespace": "team"},
        "spec": {"model": {"uri": "pvc://work/base"}, **spec},
        "status": {"url": url},
    }


@pytest.mark.parametrize(
    ("given", "gateway", "expected", "headers"),
    [
        (body(), "", Endpoint(URL, "units"), {}),
        (body(URL + "/"), "", Endpoint(URL, "units"), {}),
        (body(servedModelName="si"), "", Endpoint(URL, "si"), {}),
        (
            body(),
            "http://127.0.0.1:8080/",
            Endpoint("http://127.0.0.1:8080", "units", "units.team.fairlead.local"),
            {"Host": "units.team.fairlead.local"},
        ),
    ],
    ids=["by its url", "slash at the end", "served name", "by the gateway's address"],
)
def test_endpoint_of_a_service(given, gateway, expected, headers):
    found = endpoint.of_body(given, gateway)
    assert found == expected
    assert found.headers == headers


def test_service_without_a_url_is_named():
    with pytest.raises(endpoint.NotServing, match="modelservice/units has no url yet"):
        endpoint.of_body(body(""))
