"""Only what is listed exists, in one spelling."""

import pytest

from fairlead_api import names
from fairlead_server.drain import PATH_DRAIN
from fairlead_server.middleware import routes
from fairlead_server.middleware.replies import Refused
from fairlead_server.middleware.routes import Route


def scope(path, method="GET", raw_path=None, peer="10.244.0.7"):
    return {
        "type": "http",
        "path": path,
        "raw_path": (path if raw_path is None else raw_path).encode(),
        "method": method,
        "client": (peer, 1),
    }


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/v1/chat/completions", Route.GENERATE),
        ("POST", "/v1/completions", Route.GENERATE),
        ("GET", "/v1/models", Route.PASS),
        ("GET", "/health", Route.PASS),
        ("GET", "/metrics", Route.PASS),
        ("GET", names.PATH_STARTUP, Route.STARTUP),
        ("GET", names.PATH_READY, Route.READY),
        ("GET", names.PATH_LIVE, Route.LIVE),
    ],
)
def test_listed_paths_are_found(method, path, route):
    assert routes.find(scope(path, method)) is route


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/version", "/docs", "/openapi.json", "/tokenize", "/detokenize", "/ping",
        "/invocations", "/v1/embeddings", "/v1/responses", "/v1/load_lora_adapter", "/sleep",
        "/v1/messages", "/inference/v1/generate", "/scale_elastic_ep", "/start_profile",
        "/v1/chat/completions/", "/v1/chat/completions/batch", "//v1/models", "/v1//models",
        "/v1/../v1/models", "/./v1/models", "/V1/models", "/v1/models/tiny", "/v1/models;a=b",
        "/v1/models\x00", "/v1/models ", "v1/models", "", "/metrics/", "\\v1\\models",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_everything_else_is_404(path, method):
    with pytest.raises(Refused) as caught:
        routes.find(scope(path, method))
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "raw_path",
    ["/v1/chat%2Fcompletions", "/%761/chat/completions", "/x/..%2f", "/v1/chat/%63ompletions"],
)
def test_an_encoded_spelling_of_a_listed_path_is_404(raw_path):
    with pytest.raises(Refused) as caught:
        routes.find(scope("/v1/chat/completions", "POST", raw_path))
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", b"POST"),
        ("OPTIONS", "/v1/completions", b"POST"),
        ("POST", "/v1/models", b"GET"),
        ("DELETE", "/metrics", b"GET"),
        ("POST", names.PATH_READY, b"GET"),
    ],
)
def test_another_method_is_405_with_the_right_one(method, path, allowed):
    with pytest.raises(Refused) as caught:
        routes.find(scope(path, method))
    assert caught.value.status == 405
    assert caught.value.headers == ((b"allow", allowed),)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
def test_the_drain_is_there_for_the_pod_itself(peer):
    assert routes.find(scope(PATH_DRAIN, "POST", peer=peer)) is Route.DRAIN


@pytest.mark.parametrize("peer", ["10.244.0.7", "127.0.0.6", "::ffff:127.0.0.1", ""])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_the_drain_does_not_exist_for_others(peer, method):
    with pytest.raises(Refused) as caught:
        routes.find(scope(PATH_DRAIN, method, peer=peer))
    assert caught.value.status == 404


def test_the_drain_does_not_exist_for_a_peer_without_address():
    unknown = scope(PATH_DRAIN, "POST") | {"client": None}
    with pytest.raises(Refused):
        routes.find(unknown)
