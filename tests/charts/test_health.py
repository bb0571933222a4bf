"""The release's own test tells a healthy operator from each kind of sick one."""

import contextlib
import datetime
import http.server
import importlib.util
import ipaddress
import json
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SCRIPT = Path(__file__).resolve().parents[2] / "charts/fairlead/files/health.py"
BOTH = {"resources": [{"name": "finetunejobs"}, {"name": "modelservices"}]}
HEALTHY = {
    "api": (200, json.dumps(BOTH)),
    "metrics": (200, "fairlead_reconciles_total 1\n"),
    "progress": (401, ""),
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("pki") / "both.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def health(tmp_path, monkeypatch, certificate):
    spec = importlib.util.spec_from_file_location("release_health", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_bytes(certificate.read_bytes())
    monkeypatch.setattr(module, "ACCOUNT", tmp_path)
    return module


@contextlib.contextmanager
def answering(code, body, tls=None):
    """A server that gives one answer to everything."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def verdict(health, certificate, answers):
    with (
        answering(*answers["api"], tls=certificate) as api,
        answering(*answers["metrics"]) as metrics,
        answering(*answers["progress"], tls=certificate) as progress,
    ):
        return health.main(api, metrics, progress)


def test_healthy_release_passes(health, certificate, capsys):
    assert verdict(health, certificate, HEALTHY) == 0
    assert capsys.readouterr().out.count("ok ") == 3


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("api", (404, ""), "kinds are served: HTTP Error 404"),
        ("api", (200, json.dumps({"resources": BOTH["resources"][:1]})), "modelservices"),
        ("api", (200, "{}"), "kinds are served"),
        ("metrics", (500, ""), "operator reports: HTTP Error 500"),
        ("metrics", (200, "python_info 1"), "no metric of Fairlead"),
        ("progress", (200, ""), "without a token is answered 200"),
        ("progress", (503, ""), "progress is guarded: HTTP Error 503"),
    ],
    ids=[
        "no such group",
        "one kind missing",
        "not a kind list",
        "metrics broken",
        "somebody else's metrics",
        "progress open to all",
        "progress broken",
    ],
)
def test_sick_release_fails_and_says_what(health, certificate, capsys, part, answer, said):
    assert verdict(health, certificate, HEALTHY | {part: answer}) == 1
    out = capsys.readouterr().out
    assert said in out
    assert out.count("ok ") == 2, "the other checks run all the same"


def test_operator_that_does_not_answer_fails(health, certificate, capsys):
    with answering(*HEALTHY["api"], tls=certificate) as api:
        assert health.main(api, "http://127.0.0.1:1", "https://127.0.0.1:1") == 1
    assert capsys.readouterr().out.count("FAIL") == 2
