"""`fairlead-cluster airflow`: what it asks for, what it says, and how it waits and ends."""

import json
import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead_cluster import __main__, errors, orchestration, settings
from fairlead_cluster.demo import pipelines, place, story

VIEW = {
    "contexts": [{"name": "team", "context": {"cluster": "big", "user": "root"}}],
    "clusters": [{"name": "big", "cluster": {"server": "https://192.0.2.1:6443"}}],
    "users": [{"name": "root", "user": {"client-key-data": "never to be handed on"}}],
}


class Recorder(place.Place):
    """A place whose kubectl answers from here; what was asked is kept in ``asked``."""

    asked: list[tuple[str, ...]]

    def run(self, *arguments, what, way_out="", stdin=None):
        self.asked.append((arguments, json.loads(stdin) if stdin else None))
        if arguments[0] == "config":
            return json.dumps(VIEW)
        return "a-token\n" if arguments[:2] == ("create", "token") else ""


@pytest.fixture
def where():
    recorder = Recorder(Path("kubectl"), Path("helm"), None, "team")
    object.__setattr__(recorder, "asked", [])
    return recorder


@pytest.fixture
def server(tmp_path):
    return orchestration.Server(tmp_path / "airflow", 8081, (pipelines.DAGS,))


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", ""])
def test_what_is_no_port_is_refused(port, capsys):
    with pytest.raises(SystemExit):
        __main__.main(["airflow", "--port", port])
    assert f"'{port}' is no port" in capsys.readouterr().err


def test_kubeconfig_is_of_an_account_with_edit_and_holds_no_key_of_the_administrators(
    where, tmp_path
):
    pipelines.write_kubeconfig(where, tmp_path / "kubeconfig")
    assert stat.S_IMODE((tmp_path / "kubeconfig").stat().st_mode) == 0o600
    text = (tmp_path / "kubeconfig").read_text()
    assert "never to be handed on" not in text
    written = json.loads(text)
    assert written["users"] == [{"name": "airflow", "user": {"token": "a-token"}}]
    assert written["contexts"][0]["context"] == {
        "cluster": "big",
        "user": "airflow",
        "namespace": "units",
    }
    account, binding = next(given for _, given in where.asked if given)["items"]
    assert account["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "fairlead-cluster"}
    assert (binding["roleRef"]["name"], binding["metadata"]["namespace"]) == ("edit", "units")


def test_connection_names_kubeconfig_namespace_and_gateway(tmp_path):
    assert pipelines.connection(tmp_path, "http://192.0.2.7") == {
        "conn_type": "fairlead",
        "extra": {
            "kube_config_path": str(tmp_path),
            "namespace": "units",
            "gateway_address": "http://192.0.2.7",
        },
    }


def test_home_lies_beside_the_kubeconfig_of_a_cluster_of_ours(where, tmp_path):
    ours = replace(where, kubeconfig=tmp_path / "fairlead" / "kubeconfig")
    assert pipelines.home_of(settings.load({}), ours) == tmp_path / "fairlead" / "airflow"


def test_home_lies_beside_the_cache_for_a_cluster_of_the_users_own(where, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path), "FAIRLEAD_CONTEXT": "arn:aws/big"}
    found = pipelines.home_of(settings.load(environment), where)
    assert found == tmp_path / "fairlead" / "airflow" / "arn-aws-big"


def test_welcome_says_where_how_to_get_in_and_what_next(server):
    said = pipelines.welcome(server)
    assert "http://localhost:8081" in said
    assert server.password() in said
    assert str(server.log) in said
    assert "ssh -L 8081:localhost:8081" in said
    assert "all DAGs start paused" in said
    assert "Ctrl-C" in said


@pytest.fixture
def alive(monkeypatch):
    """Lets the server be whole for that many looks, then end by itself."""

    def told(num_looks):
        looks = iter([True] * num_looks)

        def require_whole(_):
            if not next(looks, False):
                raise errors.ComponentFailed("Airflow ended by itself", "read its log")

        monkeypatch.setattr(orchestration.Server, "require_whole", require_whole)

    return told


def test_kubeconfig_is_renewed_while_airflow_runs(server, where, tmp_path, alive, monkeypatch):
    monkeypatch.setattr(pipelines, "_PAUSE_SECONDS", 0)
    alive(3)
    with pytest.raises(errors.ComponentFailed, match="Airflow ended by itself"):
        pipelines.watch(server, where, tmp_path / "kubeconfig", renewal_seconds=-1)
    tokens = [words for words, _ in where.asked if words[:2] == ("create", "token")]
    assert len(tokens) == 3


def test_api_server_that_is_away_at_the_renewal_does_not_end_airflow(
    server, where, tmp_path, alive, monkeypatch, capsys
):
    def refuse(*_):
        raise errors.CommandFailed("can't get a token", "wait")

    monkeypatch.setattr(pipelines, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(pipelines, "write_kubeconfig", refuse)
    alive(2)
    with pytest.raises(errors.ComponentFailed):
        pipelines.watch(server, where, tmp_path / "kubeconfig", renewal_seconds=-1)
    assert capsys.readouterr().err.count("! can't get a token") == 2


@pytest.fixture
def prepared(where, tmp_path, monkeypatch):
    """A cluster on which all is ready; Airflow's own calls are kept, nothing is started."""
    calls = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAIRLEAD_CONTEXT", "team")
    monkeypatch.setattr(story, "prepare", lambda *_: where)
    monkeypatch.setattr(story, "gateway_of", lambda _: "http://192.0.2.7")
    for name in ("start", "wait_healthy", "stop"):
        monkeypatch.setattr(
            orchestration.Server, name, lambda self, name=name: calls.append((name, self.port))
        )
    return calls


def test_interrupt_ends_airflow_and_says_what_goes_on(prepared, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines, "watch", interrupted)
    assert __main__.main(["airflow", "--port", "8085"]) == 0
    assert prepared == [("start", 8085), ("wait_healthy", 8085), ("stop", 8085)]
    assert "what its tasks began in the cluster goes on" in capsys.readouterr().out


def test_a_signal_that_ends_programs_ends_airflow_as_ctrl_c_does(prepared, monkeypatch):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(pipelines, "watch", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert __main__.main(["airflow"]) == 0
    assert prepared[-1][0] == "stop"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_airflow_that_never_gets_healthy_is_ended_too(prepared, monkeypatch, capsys):
    def sick(_):
        raise errors.ComponentFailed("Airflow was not healthy", "read its log")

    monkeypatch.setattr(orchestration.Server, "wait_healthy", sick)
    assert __main__.main(["airflow"]) == 1
    assert [name for name, _ in prepared] == ["start", "stop"]
    assert "Airflow was not healthy; read its log" in capsys.readouterr().err
