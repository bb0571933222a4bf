"""What the gate is given by the real HTTP server, for what clients may put on the wire.

Needs uvicorn, of the server's own environment (requirements/server.txt); tests/e2e brings it into
the image. vLLM has uvicorn choose its parser, as here.
"""

import socket
import threading
import time

import pytest

uvicorn = pytest.importorskip(
    "uvicorn", reason="uvicorn is missing: the e2e tier runs this in the image"
)
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

BOUND_SECONDS = 60
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n"
BODY = b'{"max_tokens": 1}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
PIECES = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture
def clock():
    return time.monotonic


@pytest.fixture
def ask(gate):
    """A function that sends bytes to a server with the gate, and returns the status and body."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(gate(max_tokens=100), lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()

    def send(content):
        with socket.create_connection(listener.getsockname(), BOUND_SECONDS) as connection:
            connection.sendall(content)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    yield send
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    "request_bytes",
    [CHAT + LENGTH + b"\r\n" + BODY, CHAT + CHUNKED + b"\r\n" + PIECES],
    ids=["one length", "chunked"],
)
def test_a_body_of_one_framing_passes(ask, app, request_bytes):
    assert ask(request_bytes)[0] == 200
    assert [body for _, body in app.seen] == [BODY]


@pytest.mark.parametrize(
    "request_bytes",
    [
        CHAT + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
        CHAT + LENGTH + LENGTH + b"\r\n" + BODY,
        CHAT + LENGTH + CHUNKED + b"\r\n" + PIECES,
        CHAT + CHUNKED + LENGTH + b"\r\n" + PIECES,
        CHAT + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + PIECES,
        CHAT + b"Content-Length: -1\r\n\r\n" + BODY,
        CHAT + b"Content-Length: +17\r\n\r\n" + BODY,
        CHAT + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n" + BODY,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=[
        "two lengths", "a length twice", "length and chunked", "chunked and length",
        "two encodings", "negative length", "signed length", "absurd length", "HTTP/2",
    ],
)  # fmt: skip
def test_a_request_of_doubtful_framing_is_400_and_reaches_nobody(ask, app, request_bytes):
    assert ask(request_bytes)[0] == 400
    assert app.seen == []


def test_a_body_nested_too_deep_is_400(ask, app):
    body = b"[" * 100_000
    status, body = ask(CHAT + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert status == 400
    assert b"not JSON" in body
    assert app.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models", "/v1//models", "/v1/models/", "/v1/./models", "/v1/%2e/models",
        "/x/../v1/models", "/x/%2e%2e/v1/models", "/v1%2fmodels", "/v1/%6dodels", "/v1/models%00",
        "/V1/models", "*",
    ],
)  # fmt: skip
def test_a_path_in_another_spelling_is_404(ask, app, path):
    request = f"GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n"
    assert ask(request.encode())[0] == 404
    assert app.seen == []


def test_a_websocket_is_refused(ask, app):
    handshake = (
        b"GET /v1/realtime HTTP/1.1\r\nHost: pod\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert ask(handshake)[0] == 403
    assert app.seen == []
