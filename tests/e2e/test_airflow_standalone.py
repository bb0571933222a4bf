"""A real Airflow beside the cluster: its DAGs run, and its connection may what `edit` may."""

import pytest

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
