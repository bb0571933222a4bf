"""An Airflow task against the whole: the installed operator, a real pod, the rights of `edit`."""

import json
import logging
from types import SimpleNamespace

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import operators
from fairlead_cluster import processes

pytestmark = pytest.mark.e2e

PATIENCE_SECONDS = 120


@pytest.fixture
def connection(installed, shared_kube, monkeypatch):
    """The default connection, of a service account that may edit its namespace."""
    namespace = shared_kube.namespace
    user = f"system:serviceaccount:{namespace}:airflow"
    shared_kube.run("create", "serviceaccount", "airflow")
    account = f"--serviceaccount={namespace}:airflow"
    shared_kube.run("create", "rolebinding", "airflow", "--clusterrole=edit", account)
    may = ("auth", "can-i", "create", "finetunejobs.fairlead.dev", f"--as={user}")
    assert processes.wait(  # rights count a moment after they are bound
        lambda: shared_kube.run(*may, check=False).strip().endswith("yes"), PATIENCE_SECONDS
    )
    kubeconfig = yaml.safe_load(installed.cluster.where.kubeconfig.read_text())
    token = shared_kube.run("create", "token", "airflow").strip()
    for user in kubeconfig["users"]:
        user["user"] = {"token": token}
    extra = {"kube_config": json.dumps(kubeconfig), "namespace": namespace}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


def test_broken_data_fails_for_good_with_its_line_and_the_pods_last_words(
    connection, base, caplog, capsys
):
    spec = {
        "model": {"uri": base},
        "datasets": [{"name": "rows", "inline": '{"prompt": "a", "completion": "b"}\n{"prompt": '}],
        "trainer": {"type": "SFT"},
        "hyperparameters": {"maxSteps": 1},
        "storage": {"claimName": "storage"},
    }
    task = operators.FineTuneOperator(task_id="train", manifest={"spec": spec}, deferrable=False)
    ti = SimpleNamespace(dag_id="weekly", task_id="train", run_id="run-1", map_index=-1)
    with caplog.at_level(logging.INFO), pytest.raises(AirflowFailException) as failed:
        task.execute({"ti": ti})
    assert "DatasetError" in str(failed.value)
    assert "line 2" in str(failed.value)
    said = caplog.text + capsys.readouterr().out
    assert "last lines of pod weekly-train-" in said
    assert "line 2" in said.split("last lines of pod")[1]
