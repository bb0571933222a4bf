"""The test button of a connection runs in Airflow's API server: no program, no long wait."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.sdk.execution_time import task_runner
from kubernetes.config import kube_config

from fairlead_airflow import hooks
from fairlead_api import names


@pytest.fixture
def cluster():
    """A stand-in for an API server that says its version and what stands in ``answers``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = answers.get(self.path, (503, {}))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            """Not to the tests' output."""

    asked, answers = [], {"/version/": (200, VERSION)}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.answers = asked, answers
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


VERSION = {
    name: "1"
    for name in ("buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion")
} | {"major": "1", "minor": "1", "platform": "any"}
EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


@pytest.fixture
def kubeconfig(cluster, tmp_path):
    """A kubeconfig whose user logs in by a program, or by none."""

    def made(with_program=True):
        program = {"exec": EXEC | {"command": "touch", "args": [str(tmp_path / "ran")]}}
        address = f"http://127.0.0.1:{cluster.server_address[1]}"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": program if with_program else {"token": "any"}}],
        }

    return made


@pytest.fixture
def press(monkeypatch):
    """What the button says of a connection with this extra, in the API server."""

    def tested(extra, context="server"):
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", context)
        described = json.dumps({"conn_type": "fairlead", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)
        return hooks.FairleadHook().test_connection()

    return tested


@pytest.mark.parametrize(
    "extra",
    [
        lambda config, _: {"kube_config": config},
        lambda config, _: {"kube_config": json.dumps(config)},
        lambda config, _: {"extra__kubernetes__kube_config": config},
        lambda _, file: {"kube_config_path": str(file)},
        lambda _, file: {"kube_config_path": f"/no/such/file{os.pathsep}{file}"},
    ],
    ids=["mapping", "text", "old name", "file", "list of files"],
)
def test_api_server_runs_no_program(press, kubeconfig, tmp_path, cluster, extra):
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig()))
    works, says = press(extra(kubeconfig(), file))
    assert not works
    assert "logs in by a program (exec in its kubeconfig)" in says
    assert "/api/v2/connections/enqueue-test" in says
    assert (cluster.asked, (tmp_path / "ran").exists()) == ([], False)


def test_program_of_the_servers_own_kubeconfig_is_not_run_either(
    press, kubeconfig, tmp_path, monkeypatch
):
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig()))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    _, says = press({})
    assert "logs in by a program" in says
    assert not (tmp_path / "ran").exists()


def test_task_runs_it(press, kubeconfig, tmp_path, monkeypatch):
    """Though the scheduler's child may have the scheduler's environment."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", object(), raising=False)
    press({"kube_config": kubeconfig()})
    assert (tmp_path / "ran").exists()


def test_cluster_that_is_away_is_asked_once(press, kubeconfig, cluster):
    works, says = press({"kube_config": kubeconfig(with_program=False)})
    assert not works
    assert "the API server says 503" in says
    assert len([path for path in cluster.asked if names.FINETUNEJOB_PLURAL in path]) == 1


@pytest.mark.parametrize("context", ["server", "client"])
@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            {"kube_config_path": "/no/such"},
            "kube_config_path: there is no /no/such on this machine",
        ),
        ({"kube_config_path": f"/no/one{os.pathsep}/no/two"}, "no /no/one, no /no/two on"),
        ({"kubeconfig": "s3cret"}, "unknown in its extra: kubeconfig (do you mean kube_config?)"),
        ({"in_cluster": True, "Namspace": "team"}, "Namspace (do you mean namespace?)"),
        ({"in_cluster": True, "extra__fairlead__namespace": "t"}, "(do you mean namespace?)"),
        ({"in_cluster": True, "zzz": 1, "qqq": 2}, "unknown in its extra: zzz, qqq"),
    ],
    ids=["file", "files", "key", "case", "prefix", "nothing close"],
)
def test_what_the_extra_gets_wrong_is_named(press, monkeypatch, tmp_path, extra, said, context):
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    works, says = press(extra, context)
    assert not works
    assert said in says
    assert "s3cret" not in says


@pytest.mark.parametrize(
    ("status", "works"), [(200, True), (403, True), (404, False)], ids=["there", "hidden", "none"]
)
def test_namespace_is_looked_for_where_one_may(press, kubeconfig, cluster, status, works):
    place = f"/apis/{names.API_VERSION}/namespaces/team/{names.FINETUNEJOB_PLURAL}"
    cluster.answers[f"{place}/is-fairlead-there"] = (404, {"message": "not found"})
    cluster.answers["/api/v1/namespaces/team"] = (status, {"metadata": {"name": "team"}})
    extra = {"kube_config": kubeconfig(with_program=False), "namespace": "team"}
    tested, says = press(extra)
    assert (tested, "namespace team is not there" in says) == (works, not works)
    assert "unknown" not in says


def test_unknown_key_of_a_connection_that_works_is_named_all_the_same(press, kubeconfig, cluster):
    place = f"/apis/{names.API_VERSION}/namespaces/default/{names.FINETUNEJOB_PLURAL}"
    cluster.answers[f"{place}/is-fairlead-there"] = (404, {"message": "not found"})
    cluster.answers["/api/v1/namespaces/default"] = (200, {})
    config = kubeconfig(with_program=False)
    extra = {"extra__kubernetes__kube_config": config, "namespaces": "team"}
    works, says = press(extra)
    assert works
    assert says.endswith(
        "namespace default; unknown in its extra: namespaces (do you mean namespace?)"
    )
