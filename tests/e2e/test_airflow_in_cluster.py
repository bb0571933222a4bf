"""Airflow in the cluster by the manifests of charts/airflow: a pod a task, and none left after."""

import base64
import json
import os
import time
from pathlib import Path

import pytest
import yaml

from fairlead_chaos import patient
from fairlead_cluster import images, registry, settings

pytestmark = pytest.mark.e2e

BUSY_SECONDS = 180

FOLDER = images.ROOT / "charts" / "airflow"
DAGS = [Path(__file__).parent / "dags" / name for name in ("tiny_training.py", "loading.py")]
MOUNTS = [
    {
        "name": "tests",
        "mountPath": f"/opt/venv/share/dags/{file.name}",
        "subPath": file.name,
        "readOnly": True,
    }
    for file in DAGS
]
VOLUME = {"name": "tests", "configMap": {"name": "tests"}}


@pytest.fixture(scope="module")
def place(installed):
    """A namespace for Airflow."""
    kube = installed.kube(f"airflow-{os.getpid()}")
    yield kube
    kube.run("delete", "namespace", kube.namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def pushed(installed):
    """References of the images that the manifests name, by the names that they have there."""
    chosen = settings.load()
    own = registry.ensure(chosen.state_dir, installed.cluster.cache)
    workshop = images.open_workshop(chosen.cache_dir, images.Options())
    references = workshop.push(["airflow", "postgres"], own)
    return {
        "fairlead-airflow:0.1.0": references["airflow"],
        "docker.io/library/postgres:15-bookworm": references["postgres"],
    }


def rendered(file, place, team, pushed):
    """The documents of a file, as the README's sed makes them for other names."""
    text = (FOLDER / file).read_text()
    for name, reference in pushed.items():
        text = text.replace(f"image: {name}\n", f"image: {reference}\n")
    text = text.replace("amespace: units", f"amespace: {team}")
    text = text.replace("amespace: airflow", f"amespace: {place}")
    text = text.replace("NAMESPACE: airflow", f"NAMESPACE: {place}")
    return list(yaml.safe_load_all(text))


def with_dag(manifest):
    """Have the DAG of the tests where DAGs are read: in the DAG processor and in workers."""
    name = (manifest["kind"], manifest["metadata"]["name"])
    if name == ("Deployment", "airflow-dag-processor"):
        add(manifest["spec"]["template"]["spec"])
    if name == ("ConfigMap", "airflow-worker"):
        pod = yaml.safe_load(manifest["data"]["pod.yaml"])
        add(pod["spec"])
        manifest["data"]["pod.yaml"] = yaml.safe_dump(pod)
    return manifest


def add(pod):
    pod["containers"][0]["volumeMounts"] += MOUNTS
    pod["volumes"].append(VOLUME)


def run_script(script, env):
    """Run what makes the Secrets: it keeps what is there, so a busy API server is asked again."""
    done = patient.run(script, env=env)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def inside(installed, place, shared_kube, base, pushed, ask_airflow):
    """Airflow as the README installs it, with one DAG of the tests; logged in."""
    (namespace,) = rendered("namespace.yaml", place.namespace, "", {})
    namespace["metadata"]["name"] = place.namespace
    place.apply(namespace)
    place.run("create", "configmap", "tests", *(f"--from-file={file}" for file in DAGS))
    kubectl = installed.cluster.cache.path("kubectl")
    env = os.environ | {
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "NAMESPACE": place.namespace,
        "TEAM": shared_kube.namespace,
    }
    script = [FOLDER / "secrets.sh", f"--kubeconfig={installed.cluster.where.kubeconfig}"]
    run_script(script, env)
    # The second time it keeps what is there, and takes a connection along: Airflow's own database
    # stands for a warehouse, which nothing here keeps tasks from.
    made = place.get("secret", "airflow-core")["data"]["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    warehouse = base64.b64decode(made).decode().replace("+psycopg2", "")
    run_script(script, env | {"AIRFLOW_CONN_FAIRLEAD_WAREHOUSE": warehouse})
    for file in ("accounts.yaml", "config.yaml", "postgres.yaml", "airflow.yaml", "network.yaml"):
        for manifest in rendered(file, place.namespace, shared_kube.namespace, pushed):
            theirs = manifest["metadata"]["namespace"] == shared_kube.namespace
            (shared_kube if theirs else place).apply(with_dag(manifest))
    for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
        place.wait(
            "deployment",
            f"airflow-{name}",
            lambda found: found.get("status", {}).get("readyReplicas"),
            900,
            "ready replica",
        )
    secret = place.get("secret", "airflow-login")["data"]["passwords.json"]
    password = json.loads(base64.b64decode(secret))["admin"]
    address = place.get("service", "airflow-api-server")["spec"]["clusterIP"]
    asked = ask_airflow(f"http://{address}:8080", password)
    yield asked
    asked.api.close()


def workers(place):
    return place.list("pods", "app.kubernetes.io/component=worker")


def test_a_run_trains_in_the_teams_namespace_and_leaves_no_worker(inside, place, shared_kube, base):
    run = inside.trigger("tiny_training", {"base": base})
    states = inside.wait("tiny_training", run, 900)
    log = inside.log("tiny_training", run, "train")
    assert states == {"train": "success"}, log
    result = inside.xcom("tiny_training", run, "train")
    assert result["namespace"] == shared_kube.namespace
    assert result["artifact"]["uri"].startswith("pvc://storage/")
    job = shared_kube.get("finetunejob", result["name"])
    assert shared_kube.condition(job, "Complete").status == "True"
    assert f"making finetunejob/{result['name']}" in log, "the log outlives its pod"
    place.wait("namespace", place.namespace, lambda _: not workers(place), 120, "worker gone")
    deadline = time.monotonic() + BUSY_SECONDS
    while result["name"] not in (page := inside.page("/fairlead/")):
        words = "the API server's own account may list our kinds"
        assert time.monotonic() < deadline, f"{words}\n{page[-3000:]}"
        time.sleep(1)


def test_a_real_postgres_holds_answers_once_and_a_refused_row_is_named(inside):
    for _ in range(2):
        run = inside.trigger("loading")
        states = inside.wait("loading", run, 600)
        assert set(states.values()) == {"success"}, inside.logs("loading", run)
        assert inside.xcom("loading", run, "load")["num_rows"] == 500
        assert inside.xcom("loading", run, "count") == 500
    for bad in ("an integer out of range", "a NUL in a text"):
        run = inside.trigger("loading", {"line_300_has": bad})
        states = inside.wait("loading", run, 600)
        assert states == {"write": "success", "load": "failed", "count": "success"}
        assert "refuses line 300 (id '300')" in inside.log("loading", run, "load"), bad
        assert inside.xcom("loading", run, "count") == 500, "as before"


def test_every_process_says_that_it_is_well(inside):
    assert inside.health() == {
        "metadatabase": "healthy",
        "scheduler": "healthy",
        "triggerer": "healthy",
        "dag_processor": "healthy",
    }


def test_secrets_are_kept_by_a_second_run_of_the_script(inside, place):
    made = place.get("secret", "airflow-core")["data"]
    url = base64.b64decode(made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]).decode()
    secret = place.get("secret", "airflow-postgres")["data"]["POSTGRES_PASSWORD"]
    assert f":{base64.b64decode(secret).decode()}@airflow-postgres:5432/" in url


@pytest.mark.parametrize(
    ("account", "verb", "resource", "where", "answer"),
    [
        ("airflow-tasks", "create", "finetunejobs.fairlead.dev", "team", "yes"),
        ("airflow-tasks", "get", "persistentvolumeclaims", "team", "yes"),
        ("airflow-tasks", "list", "resourcequotas", "team", "yes"),
        ("airflow-tasks", "get", "secrets", "team", "no"),
        ("airflow-tasks", "create", "pods", "team", "no"),
        ("airflow-tasks", "get", "secrets", "own", "no"),
        ("airflow-scheduler", "create", "pods", "own", "yes"),
        ("airflow-scheduler", "create", "pods", "team", "no"),
        ("airflow-scheduler", "get", "secrets", "own", "no"),
        ("airflow-api-server", "get", "finetunejobs.fairlead.dev", "team", "yes"),
        ("airflow-api-server", "delete", "finetunejobs.fairlead.dev", "team", "no"),
        ("default", "list", "pods", "own", "no"),
    ],
)
def test_account_may_what_it_uses_and_no_more(
    inside, place, shared_kube, account, verb, resource, where, answer
):
    user = f"--as=system:serviceaccount:{place.namespace}:{account}"
    kube = shared_kube if where == "team" else place
    said = kube.run("auth", "can-i", verb, resource, user, check=False)
    assert said.strip().splitlines()[-1] == answer
