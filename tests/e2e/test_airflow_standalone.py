"""A real Airflow beside the cluster: its DAGs run, and its connection may what `edit` may."""

import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from fairlead_chaos import ports
from fairlead_cluster import orchestration

pytestmark = pytest.mark.e2e


def test_a_run_hands_on_results_and_names_its_failure(airflow_server):
    run = airflow_server.trigger("greeting", {"name": "Ada"})
    assert airflow_server.wait("greeting", run) == {"greet": "success", "refuse": "failed"}
    assert airflow_server.xcom("greeting", run, "greet") == {"greeted": "Ada"}
    assert "hello Ada" in airflow_server.log("greeting", run, "greet")
    assert "ValueError: this task always fails" in airflow_server.log("greeting", run, "refuse")


def test_our_dags_are_read_without_a_complaint(airflow_server):
    airflow_server.wait("greeting", airflow_server.trigger("greeting"))  # so files have been read
    assert airflow_server.ask("importErrors")["import_errors"] == []


def test_connection_may_edit_its_namespace_and_no_other(
    airflow_server, airflow_connection, shared_kube
):
    run = airflow_server.trigger("looking_around")
    assert airflow_server.wait("looking_around", run) == {"look": "success"}
    seen = airflow_server.xcom("looking_around", run, "look")
    assert seen["works"], seen["says"]
    assert shared_kube.namespace in seen["says"]
    assert (seen["own"], seen["other"]) == (200, 403)


@pytest.fixture
def verb(installed):
    """`fairlead-cluster airflow` on the tests' cluster, as `make airflow` calls it; its port."""
    port = ports.draw()
    name = installed.cluster.where.name
    words = [sys.executable, "-m", "fairlead_cluster", "airflow", "--name", name, "--port", port]
    with subprocess.Popen(
        [str(word) for word in words],
        env=os.environ | {"FAIRLEAD_PROVIDER": "embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process, port
        process.kill()
        orchestration.end(installed.cluster.where.airflow)


def test_verb_says_how_to_get_in_and_ctrl_c_ends_all_of_it(verb, installed, ask_airflow):
    process, port = verb
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C ends Airflow" in line:
            break
    (password,) = re.findall(r"password  (\S+)", said)
    url = f"http://localhost:{port}"
    assert url in said
    stranger = httpx.get(f"{url}/api/v2/dags", trust_env=False, timeout=60)
    assert stranger.status_code == httpx.codes.UNAUTHORIZED
    asked = ask_airflow(url, password)
    health = asked.health()
    asked.api.close()
    assert set(health.values()) == {"healthy"}
    session = int((installed.cluster.where.airflow / "session.json").read_text()[1:].split(",")[0])
    process.send_signal(signal.SIGINT)
    left = process.stdout.read()
    assert process.wait(120) == 0, said + left
    assert "goes on" in left
    listed = subprocess.run(
        ["ps", "-o", "stat=", "--sid", str(session)], capture_output=True, text=True
    ).stdout.split()
    assert [state for state in listed if not state.startswith("Z")] == []
