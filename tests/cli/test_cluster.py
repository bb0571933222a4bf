"""The client's failures, against a real HTTP server: each has its name and its way out."""

import http.server
import json
import threading

import pytest
import yaml

from fairlead_cli import cluster, errors, target
from fairlead_cli.__main__ import main

JOB = target.Target("FineTuneJob", "finetunejobs", "demo", "units")
STATUS = {"kind": "Status", "reason": "NotFound", "details": {"name": "units"}}


@pytest.fixture
def api(tmp_path, monkeypatch):
    """An API server that gives one answer; KUBECONFIG leads to it."""

    class Answer(http.server.BaseHTTPRequestHandler):
        code, body = 200, "{}"

        paths = {}  # where one answer is not enough

        def do_GET(self):
            self.code, self.body = self.paths.get(self.path, (self.code, self.body))
            self.send_response(self.code)
            self.send_header("Content-Type", "application/json")
            sent = self.body if isinstance(self.body, bytes) else self.body.encode()
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    write_kubeconfig(tmp_path, monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield Answer
    server.shutdown()
    thread.join()
    server.server_close()


def write_kubeconfig(folder, monkeypatch, address):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "demo"}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig")
    )


def test_namespace_is_the_contexts(api):
    assert cluster.Cluster.open(None).namespace == "demo"


@pytest.mark.parametrize(
    ("code", "body", "error", "said"),
    [
        (404, json.dumps(STATUS), cluster.NotFound, "no finetunejob/units in namespace demo"),
        (404, "404 page not found\n", cluster.NotFound, "install the chart"),
        (403, "{}", errors.NoCluster, "needs the rights get, list and watch"),
        (401, "{}", errors.NoCluster, "refuses (401"),
        (503, "{}", cluster.Unreachable, "503"),
        (429, "{}", cluster.Unreachable, "429"),
        (400, "bad", errors.NoCluster, "400"),
    ],
    ids=["absent", "no CRD", "forbidden", "no identity", "restarting", "busy", "other"],
)
def test_each_answer_has_its_error(api, code, body, error, said):
    api.code, api.body = code, body
    with pytest.raises(error) as raised:
        cluster.Cluster.open(None).get(JOB)
    assert type(raised.value) is error
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"step 1\nERROR DatasetError: line 3\n", "step 1\nERROR DatasetError: line 3\n"),
        (b"caf\xe9\nstep \xe2\x80\xa6\n", "caf\ufffd\nstep \u2026\n"),
        (b'{"loss": 1.50}', '{"loss": 1.50}'),
        (b"", ""),
    ],
    ids=["lines", "not UTF-8", "one line of JSON", "nothing"],
)
def test_log_is_read_as_the_container_wrote_it(api, sent, read):
    api.body = sent
    assert cluster.Cluster.open(None).last_lines(JOB, "units-0", "trainer", 20) == read


def test_log_that_is_gone_is_told_in_its_place(api):
    api.code = 404
    lines = cluster.Cluster.open(None).last_lines(JOB, "units-0", "trainer", 20)
    assert lines == "(no log: Not Found)"


SERVICE = target.Target("ModelService", "modelservices", "demo", "units")
ROUTE_PATH = "/apis/gateway.networking.k8s.io/v1/namespaces/demo/httproutes/units"
GATEWAY_PATH = "/apis/gateway.networking.k8s.io/v1/namespaces/infra/gateways/shared"
ROUTE = {
    "metadata": {"namespace": "demo"},
    "spec": {"parentRefs": [{"name": "shared", "namespace": "infra"}]},
}
GATEWAY = {"status": {"addresses": [{"value": "10.0.0.1"}]}}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (
            {ROUTE_PATH: (200, json.dumps(ROUTE)), GATEWAY_PATH: (200, json.dumps(GATEWAY))},
            "10.0.0.1",
        ),
        ({ROUTE_PATH: (404, json.dumps(STATUS))}, None),
        ({ROUTE_PATH: (200, json.dumps(ROUTE)), GATEWAY_PATH: (403, "{}")}, None),
    ],
    ids=["found", "no route", "not the user's to read"],
)
def test_gateway_of_a_service_is_found_by_its_route(api, paths, expected):
    api.paths = paths
    assert cluster.Cluster.open(None).gateway_of(SERVICE) == expected


def test_server_that_is_gone_is_worth_another_try(tmp_path, monkeypatch):
    write_kubeconfig(tmp_path, monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(cluster.Unreachable, match="doesn't answer"):
        cluster.Cluster.open(None).get(JOB)


def test_no_kubeconfig_says_the_way_out(tmp_path, monkeypatch, capsys):
    absent = str(tmp_path / "none")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", absent)
    assert main(["wait", "ftj/units"]) == 2
    said = capsys.readouterr().err
    assert "set KUBECONFIG" in said
    assert absent in said


def test_unknown_context_names_the_known(api, capsys):
    assert main(["wait", "ftj/units", "--context", "there"]) == 2
    assert "no context 'there' in the kubeconfig, only: here" in capsys.readouterr().err


def test_wrong_word_is_told_before_a_missing_cluster(capsys):
    assert main(["wait", "units"]) == 2
    assert "finetunejob/NAME" in capsys.readouterr().err


def test_only_a_service_can_be_asked(api, capsys):
    assert main(["ask", "ftj/units", "q"]) == 2
    assert "only a modelservice answers" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "5 m", "m", "-5s", ""])
def test_wrong_duration_is_refused_by_name(text, capsys):
    with pytest.raises(SystemExit):
        main(["wait", "ftj/units", f"--timeout={text}"])
    assert "no duration such as 90s" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["crds"], ["validate"], ["wait"], ["ask"]])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: fairlead" in capsys.readouterr().out
