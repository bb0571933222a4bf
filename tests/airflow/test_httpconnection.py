"""Where a connection of type http leads, and how one logs in there."""

from types import SimpleNamespace

import pytest

from fairlead_airflow import httpconnection
from fairlead_airflow.httpconnection import InvalidConnection


def read(extra=None, **given):
    fields = {"host": "there", "schema": None, "port": None, "login": None, "password": None}
    described = SimpleNamespace(conn_id="monitoring", **fields | given)
    return httpconnection.of(described, extra or {})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://there"),
        ({"port": 9090}, "http://there:9090"),
        ({"schema": "https"}, "https://there"),
        ({"host": "https://there/prometheus/"}, "https://there/prometheus"),
        ({"host": "https://there:1", "port": 2, "schema": "http"}, "https://there:1"),
        ({"host": "there/prometheus", "port": 2}, "http://there:2/prometheus"),
        ({"host": "[::1]", "port": 2}, "http://[::1]:2"),
    ],
    ids=str,
)
def test_address_is_of_host_schema_and_port(given, url):
    assert read(**given).url == url


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ({}, {}),
        ({"password": "t0ken"}, {"Authorization": "Bearer t0ken"}),
        ({"login": "me", "password": "pä"}, {"Authorization": "Basic bWU6cMOk"}),
        ({"login": "me"}, {"Authorization": "Basic bWU6"}),
    ],
    ids=["none", "token", "basic", "login alone"],
)
def test_login_is_of_login_and_password(given, headers):
    assert read(**given).headers == headers


@pytest.mark.parametrize(
    ("given", "extra", "message"),
    [
        ({"host": None}, {}, "host: is empty"),
        ({"host": "me:pw@there"}, {}, "host: login and password have fields of their own"),
        ({"schema": "ftp"}, {}, "schema: must be http or https, it is ftp"),
        ({"host": "http://there?x=1"}, {}, "host: must be a host or"),
        ({"host": "http://there:port"}, {}, "host: Port could not be cast"),
        ({}, {"verify": "no"}, "verify: must be true or false"),
        ({}, {"ca": 1}, "ca and path: must be text"),
        ({"password": "pw\n"}, {}, "password: has a line break or another control character"),
        ({"login": "me\r", "password": "pw"}, {}, "login: has a line break or another control"),
    ],
    ids=["none", "with a password", "scheme", "query", "port", "verify", "ca", "line", "login"],
)
def test_connection_that_cannot_be_meant_is_named_with_its_field(given, extra, message):
    with pytest.raises(InvalidConnection, match=f"^connection monitoring: {message}") as caught:
        read(extra, **given)
    assert "pw" not in str(caught.value)


def test_extra_says_whose_certificates_are_good(tmp_path):
    assert read().tls() is True
    assert read({"verify": False}).tls() is False
    assert read({"verify": "False"}).tls() is False
    absent = str(tmp_path / "ca.pem")
    with pytest.raises(InvalidConnection, match=f"ca: {absent} can't be read"):
        read({"ca": absent}).tls()


def test_secrets_do_not_show():
    shown = repr(read({"path": "services/s3cret"}, password="t0ken"))
    assert "s3cret" not in shown
    assert "t0ken" not in shown


def test_path_of_the_extra_begins_with_one_slash():
    assert [read({"path": path}).path for path in ("hooks/1", "/hooks/1", "")] == [
        "/hooks/1",
        "/hooks/1",
        "",
    ]
