"""Airflow as processes: what it is told, and that nothing of it outlives its end."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest

from fairlead_chaos import ports
from fairlead_cluster import errors, layout, orchestration, processes, teardown

FIELDS = {"conn_type": "fairlead", "extra": {"namespace": "units"}}


@pytest.fixture
def dags(tmp_path):
    folder = tmp_path / "airflow" / "dags"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def server(tmp_path, dags):
    return orchestration.Server(
        tmp_path / "home", ports.draw(), (dags,), {"fairlead_default": FIELDS}
    )


def test_environment_keeps_two_airflows_of_one_machine_apart(server, dags):
    told = server.environment((8801, 8802))
    assert told["AIRFLOW_HOME"] == str(server.home)
    database = told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert database.partition("?")[0] == f"sqlite:///{server.home}/airflow.db"
    assert told["AIRFLOW__API__PORT"] == str(server.port)
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].split("/")[2].endswith(str(server.port))
    assert told["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] == "8801"
    assert told["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == "8802"
    (bundle,) = json.loads(told["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert (bundle["name"], bundle["kwargs"]) == ("airflow-dags", {"path": str(dags)})


def test_environment_has_no_example_dags_a_login_and_this_machine_only(server):
    told = server.environment((1, 2))
    assert told["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert told["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin"
    assert told["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert told["PATH"].startswith(os.path.dirname(sys.executable))


def test_environment_leaves_a_busy_machine_its_time(server):
    told = server.environment((1, 2))
    assert told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith("?timeout=300")
    assert told["AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT"] == "60"
    assert told["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] == "120"
    assert told["AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT"] == "180"


def test_connections_are_told_by_the_environment_and_shown_nowhere(server):
    told = server.environment((1, 2))
    assert json.loads(told["AIRFLOW_CONN_FAIRLEAD_DEFAULT"]) == FIELDS
    assert "units" not in repr(server)


def test_connections_of_the_users_environment_win(server, monkeypatch):
    told = {}
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", "mine")
    monkeypatch.setenv("AIRFLOW_CONN_BIG", "theirs")
    monkeypatch.setattr(orchestration.subprocess, "Popen", Started(told))
    server.start()
    assert told["AIRFLOW_CONN_FAIRLEAD_DEFAULT"] == "mine"
    assert told["AIRFLOW_CONN_BIG"] == "theirs"


class Started:
    """Stands for a process that is started; keeps its environment."""

    pid = 2**22 + 1

    def __init__(self, told):
        self.told = told

    def __call__(self, *_, env, **__):
        self.told.update(env)
        return self


def test_password_is_made_once_and_readable_by_its_owner_only(server):
    made = server.password()
    assert len(made) >= 16
    assert server.password() == made
    file = server.home / "passwords.json"
    assert json.loads(file.read_text()) == {"admin": made}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_port_that_is_taken_is_refused_with_the_way_out(server):
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
        other.listen()
        with pytest.raises(errors.ClusterError) as refused:
            server.start()
    assert f"port {server.port} can't be used" in str(refused.value)
    assert f"make airflow PORT={server.port + 1}" in str(refused.value)


def test_folder_of_dags_that_is_missing_is_named(server, dags):
    dags.rmdir()
    with pytest.raises(errors.ClusterError, match=f"{dags} is no folder of DAGs"):
        server.start()


@pytest.fixture
def leave(tmp_path):
    """Leaves a stand-in for an Airflow in a folder: a leader with a child and a grandchild."""
    left = []

    def made(home, script):
        process = subprocess.Popen(
            ["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True
        )
        left.append(process)
        assert process.stdout.readline() == "up\n"
        record = json.dumps([process.pid, processes.start_time(process.pid)])
        orchestration.write_private(home / "session.json", record)
        return process

    yield made
    for process in left:
        process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def alive(leader):
    """Processes of a session."""
    words = ["ps", "-o", "pid=,stat=", "--sid", str(leader.pid)]
    listed = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    return [line for line in listed if "Z" not in line]


DEAF = "trap '' TERM; (sleep 600 & sleep 600) & echo up; wait"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 600 & echo up; wait", id="ends-when-asked"),
        pytest.param(DEAF, id="must-be-killed"),
    ],
)
def test_end_leaves_no_process_of_the_session(tmp_path, leave, monkeypatch, script):
    monkeypatch.setattr(orchestration, "_GRACE_SECONDS", 1.0)
    leader = leave(tmp_path, script)
    assert alive(leader)
    orchestration.end(tmp_path)
    assert alive(leader) == []
    assert not (tmp_path / "session.json").exists()


def test_end_finds_what_outlived_a_leader_that_was_killed(tmp_path, leave, monkeypatch):
    monkeypatch.setattr(orchestration, "_GRACE_SECONDS", 0.1)
    leader = leave(tmp_path, "sleep 600 & echo up; wait")
    os.kill(leader.pid, signal.SIGKILL)
    leader.wait(60)
    assert alive(leader)
    orchestration.end(tmp_path)
    assert alive(leader) == []


def test_end_touches_no_process_that_took_over_the_pid(tmp_path, leave):
    leader = leave(tmp_path, "sleep 600 & echo up; wait")
    orchestration.write_private(tmp_path / "session.json", json.dumps([leader.pid, 1]))
    orchestration.end(tmp_path)
    assert alive(leader)


@pytest.mark.parametrize("record", [None, "", '{"pid"', "[]"], ids=["none", "empty", "torn", "[]"])
def test_end_without_a_record_is_fine(tmp_path, record):
    if record is not None:
        (tmp_path / "session.json").write_text(record)
    orchestration.end(tmp_path)


def test_server_whose_leader_has_gone_ended_by_itself(server, leave):
    leader = leave(server.home, "echo up; sleep 600")
    server.log.write_text("scheduler | no such table\n")
    assert server.is_running()
    leader.kill()
    leader.wait(60)
    with pytest.raises(errors.ComponentFailed, match="ended by itself: scheduler | no such table"):
        server.wait_healthy()


PART = "(exec bash -c 'exec -a \"airflow {0}\" sleep 600') & echo $! >{0}.pid; "


@pytest.mark.parametrize("part", ["scheduler", "dag-processor", "api_server", "triggerer"])
def test_part_that_has_ended_is_named_with_what_it_said(server, leave, monkeypatch, tmp_path, part):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(orchestration, "_SECOND_LOOK_SECONDS", 0.0)
    parts = ["scheduler", "dag-processor", "api_server", "triggerer"]
    leave(server.home, "".join(map(PART.format, parts)) + "echo up; wait; sleep 600")
    name = part.replace("_", "-")
    server.log.write_text(f"{name}  | database is locked\nother      | something else\n")
    processes.wait(lambda: is_whole(server), 60)
    server.require_whole()
    os.kill(int((tmp_path / f"{part}.pid").read_text()), signal.SIGKILL)
    processes.wait(lambda: not is_whole(server), 60)
    with pytest.raises(errors.ComponentFailed) as failed:
        server.require_whole()
    assert f"Airflow's {name} ended by itself: {name}  | database is locked" in str(failed.value)
    assert "something else" not in str(failed.value)


def test_part_that_one_look_misses_is_not_taken_for_gone(server, leave, monkeypatch):
    leave(server.home, "echo up; sleep 600")
    looks = iter([["scheduler"], ["triggerer"]])
    monkeypatch.setattr(orchestration.Server, "_missing", lambda _: next(looks))
    monkeypatch.setattr(orchestration, "_SECOND_LOOK_SECONDS", 0.0)
    server.require_whole()
    assert list(looks) == []


def is_whole(server):
    try:
        server.require_whole()
    except errors.ComponentFailed:
        return False
    return True


def test_server_that_nobody_answers_for_is_not_healthy(server):
    assert not server.is_healthy()


def test_a_cluster_that_is_removed_takes_its_airflow_along(tmp_path, leave, monkeypatch):
    where = layout.Layout("fl-test-airflow", tmp_path)
    leader = leave(where.airflow, "sleep 600 & echo up; wait")
    monkeypatch.setattr(teardown.network, "remove", lambda _: None)
    monkeypatch.setattr(teardown.cgroups.Cgroup, "remove", lambda _: None)
    teardown.remove(where)
    assert alive(leader) == []
    assert not where.airflow.exists()
