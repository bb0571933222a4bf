"""Values for Airflow's own chart: names and types that it knows, and what they say about us.

The chart can't be had by the tests. Its names and types stand here by hand, as the reference of
its parameters gives them for version 1.22; a value that isn't in this table is refused.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from fairlead_cluster import imagetable, release

CHARTS = Path(__file__).resolve().parents[2] / "charts"
VALUES = yaml.safe_load((CHARTS / "airflow-values.yaml").read_text())
MANIFESTS = CHARTS / "airflow"
ACCOUNTS = list(yaml.safe_load_all((MANIFESTS / "accounts.yaml").read_text()))
KNOWN = {
    "executor": str,
    "airflowVersion": str,
    "defaultAirflowRepository": str,
    "defaultAirflowTag": str,
    "uid": int,
    "gid": int,
    "securityContexts.pod": dict,
    "securityContexts.containers": dict,
    "postgresql.enabled": bool,
    "data.metadataSecretName": str,
    "extraEnvFrom": str,
    "volumes": list,
    "volumeMounts": list,
    "dags.persistence.enabled": bool,
    "dags.gitSync.enabled": bool,
    "config": dict,
    "webserver.defaultUser.enabled": bool,
    "statsd.enabled": bool,
    "logs.persistence.enabled": bool,
    "logs.persistence.size": str,
    "triggerer.replicas": int,
    "triggerer.serviceAccount.create": bool,
    "triggerer.serviceAccount.name": str,
    "workers.serviceAccount.create": bool,
    "workers.serviceAccount.name": str,
    "workers.resources": dict,
    "workers.celery.persistence.enabled": bool,
    "workers.celery.keda.enabled": bool,
    "workers.celery.keda.pollingInterval": int,
    "workers.celery.keda.cooldownPeriod": int,
    "workers.celery.keda.minReplicaCount": int,
    "workers.celery.keda.maxReplicaCount": int,
}


def flattened(values, path=()):
    """Each value by its dotted name, as deep as the table knows names."""
    found = {}
    for key, value in values.items():
        name = ".".join((*path, key))
        if isinstance(value, dict) and KNOWN.get(name) is not dict:
            found |= flattened(value, (*path, key))
        else:
            found[name] = value
    return found


def test_every_value_is_one_of_the_charts_and_of_its_type():
    found = flattened(VALUES)
    assert {name: type(value) for name, value in found.items()} == KNOWN


def test_image_is_ours_at_its_version():
    assert VALUES["defaultAirflowRepository"] == imagetable.IMAGES["airflow"].repository
    assert VALUES["defaultAirflowTag"] == release.version()
    lock = (CHARTS.parent / "requirements" / "airflow.txt").read_text()
    assert f"\napache-airflow=={VALUES['airflowVersion']} " in lock


def test_dags_are_where_the_image_has_them():
    dockerfile = (CHARTS.parent / "images" / "airflow" / "Dockerfile").read_text()
    folder = re.search(r"AIRFLOW__CORE__DAGS_FOLDER=(\S+)", dockerfile)[1]
    (bundle,) = json.loads(VALUES["config"]["dag_processor"]["dag_bundle_config_list"])
    assert bundle["kwargs"] == {"path": folder}


def test_files_of_tasks_are_on_a_volume_that_all_share():
    """Batches keep theirs beside the folder that Airflow calls that of the DAGs."""
    ((volume,), (mount,)) = VALUES["volumes"], VALUES["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["persistentVolumeClaim"]["claimName"]
    folder = Path(VALUES["config"]["core"]["dags_folder"])
    assert folder.parent == Path(mount["mountPath"])


@pytest.mark.parametrize("who", ["triggerer", "workers"])
def test_tasks_act_as_the_account_that_has_the_rights(who):
    account = VALUES[who]["serviceAccount"]["name"]
    bound = {
        subject["name"]
        for each in ACCOUNTS
        if each["kind"] == "RoleBinding" and each["metadata"]["namespace"] == "units"
        for subject in each["subjects"]
    }
    assert account in bound


def test_connections_come_from_the_secret_that_the_script_makes():
    (source,) = yaml.safe_load(VALUES["extraEnvFrom"])
    name = source["secretRef"]["name"]
    assert f"name={name}\n" in (MANIFESTS / "secrets.sh").read_text()


def test_pods_keep_to_pod_security_restricted():
    pod, container = VALUES["securityContexts"]["pod"], VALUES["securityContexts"]["containers"]
    assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, VALUES["uid"])
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_no_secret_stands_in_the_values():
    text = (CHARTS / "airflow-values.yaml").read_text()
    assert re.findall(r"(?im)^\s*\w*(?:password|fernetKey|jwtSecret|secretKey):", text) == []
