"""The manifests of Airflow in the cluster: what each process gets, and that it is no more."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from fairlead_cluster import imagetable, release

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "airflow"
FILES = ("namespace", "accounts", "config", "postgres", "airflow", "network")
DOCUMENTS = {
    file: list(yaml.safe_load_all((FOLDER / f"{file}.yaml").read_text())) for file in FILES
}
ALL = list(itertools.chain.from_iterable(DOCUMENTS.values()))
PROCESSES = ("api-server", "scheduler", "dag-processor", "triggerer")
README = (FOLDER / "README.md").read_text()
SECRETS = (FOLDER / "secrets.sh").read_text()


def one(kind, name, namespace="airflow"):
    (found,) = [
        each
        for each in ALL
        if each["kind"] == kind
        and each["metadata"]["name"] == name
        and each["metadata"].get("namespace", "airflow") == namespace
    ]
    return found


WORKER = yaml.safe_load(one("ConfigMap", "airflow-worker")["data"]["pod.yaml"])["spec"]
PODS = {
    "worker": WORKER,
    "postgres": one("StatefulSet", "airflow-postgres")["spec"]["template"]["spec"],
} | {name: one("Deployment", f"airflow-{name}")["spec"]["template"]["spec"] for name in PROCESSES}


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def secrets_of(pod):
    """Names of the Secrets that reach a pod."""
    by_variables = {
        source["secretRef"]["name"]
        for container in containers(pod)
        for source in container["envFrom"]
        if "secretRef" in source
    }
    mounted = {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    return by_variables | mounted


def test_readme_and_folder_name_the_same_files():
    there = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert {f"{file}.yaml" for file in FILES} | {"secrets.sh"} == there
    assert set(re.findall(r"^\| `([\w.]+)` \|", README, re.MULTILINE)) == there
    applied = re.search(r"for file in ([a-z ]+); do", README)[1].split()
    assert ["namespace", *applied] == list(FILES)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_pod_is_admitted_by_pod_security_restricted(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_every_container_asks_for_what_it_needs_and_may_write_to_tmp(pod):
    for container in containers(pod):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounts = {mount["name"] for each in containers(pod) for mount in each["volumeMounts"]}
    claims = {"data"} if pod is PODS["postgres"] else set()  # a claim template's
    assert mounts == volumes | claims


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("worker", {"airflow-connections"}),
        ("postgres", {"airflow-postgres"}),
        ("api-server", {"airflow-core", "airflow-connections", "airflow-login"}),
        ("scheduler", {"airflow-core"}),
        ("dag-processor", {"airflow-core", "airflow-connections"}),  # callbacks: who tells
        ("triggerer", {"airflow-core", "airflow-connections"}),
    ],
)
def test_process_gets_the_secrets_that_it_uses(name, secrets):
    assert secrets_of(PODS[name]) == secrets


def test_script_makes_every_secret_that_is_named():
    made = set(re.findall(r"^name=(airflow-\w+)$", SECRETS, re.MULTILINE))
    assert made == set().union(*map(secrets_of, PODS.values()))


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("worker", "airflow-tasks"),
        ("triggerer", "airflow-tasks"),
        ("scheduler", "airflow-scheduler"),
        ("api-server", "airflow-api-server"),
        ("dag-processor", None),
        ("postgres", None),
    ],
)
def test_who_needs_no_token_gets_none(name, account):
    pod = PODS[name]
    assert pod.get("serviceAccountName") == account
    assert pod["automountServiceAccountToken"] is (account is not None)
    if account is not None:
        assert one("ServiceAccount", account)["automountServiceAccountToken"] is False


def test_no_right_is_a_wildcard_or_cluster_wide():
    kinds = {each["kind"] for each in ALL}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    for role in (each for each in ALL if each["kind"] == "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]


@pytest.mark.parametrize("binding", [each for each in ALL if each["kind"] == "RoleBinding"])
def test_binding_names_a_role_and_an_account_that_are_there(binding):
    one("Role", binding["roleRef"]["name"], binding["metadata"]["namespace"])
    for subject in binding["subjects"]:
        one("ServiceAccount", subject["name"], subject["namespace"])


@pytest.mark.parametrize("name", [*PROCESSES, "postgres"])
def test_process_that_hangs_is_started_again(name):
    (main,) = PODS[name]["containers"]
    assert "livenessProbe" in main
    assert main["livenessProbe"]["failureThreshold"] >= 5, "a busy machine is no hanging process"


def test_image_is_the_trees_at_its_version():
    ours = f"{imagetable.IMAGES['airflow'].repository}:{release.version()}"
    images = {each["image"] for pod in PODS.values() for each in containers(pod)}
    assert images == {ours, "docker.io/library/postgres:15-bookworm"}
    assert f"image: {imagetable.IMAGES['airflow'].repository}:" in README


def test_database_lets_in_the_four_processes_and_no_task():
    policy = one("NetworkPolicy", "airflow-postgres")["spec"]
    (rule,) = policy["ingress"]
    (let_in,) = rule["from"]
    expressions = {
        each["key"]: each["values"] for each in let_in["podSelector"]["matchExpressions"]
    }
    assert set(expressions["app.kubernetes.io/component"]) == set(PROCESSES)
    denied = one("NetworkPolicy", "airflow-default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress"]}


@pytest.mark.parametrize("policy", [each for each in ALL if each["kind"] == "NetworkPolicy"])
def test_policy_selects_pods_that_are_there_and_ports_that_they_have(policy):
    wanted = policy["spec"]["podSelector"].get("matchLabels", {})
    component = wanted.get("app.kubernetes.io/component")
    if component is None:
        return
    (main,) = PODS[component]["containers"]
    ports = {port["name"] for port in main["ports"]}
    asked = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert asked <= ports


def test_settings_fit_the_manifests():
    data = one("ConfigMap", "airflow")["data"]
    service = one("Service", "airflow-api-server")
    url = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/execution/"
    assert data["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == url
    assert data["AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE"] == "airflow"
    (bundle,) = json.loads(data["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    dockerfile = (FOLDER.parents[1] / "images" / "airflow" / "Dockerfile").read_text()
    assert f"AIRFLOW__CORE__DAGS_FOLDER={bundle['kwargs']['path']} " in dockerfile
    assert Path(data["AIRFLOW__CORE__DAGS_FOLDER"]).parent == Path("/data"), "batches write there"
    logs = data["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]
    for name in (*PROCESSES, "worker"):
        (main,) = PODS[name]["containers"]
        assert {"name": "logs", "mountPath": logs} in main["volumeMounts"]
    assert WORKER["containers"][0]["name"] == "base", "the executor fills in this one"
    assert not any(re.search("PASSWORD$|SECRET|FERNET|SQL_ALCHEMY", key) for key in data)


@pytest.mark.parametrize("name", ["worker", "triggerer"])
def test_files_of_tasks_are_where_tasks_and_sensors_look(name):
    (main,) = PODS[name]["containers"]
    assert {"name": "data", "mountPath": "/data"} in main["volumeMounts"]


def test_every_claim_that_is_mounted_is_there():
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in PODS.values()
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    made = {each["metadata"]["name"] for each in ALL if each["kind"] == "PersistentVolumeClaim"}
    assert mounted == made == {"airflow-logs", "airflow-data"}


@pytest.fixture
def kubectl(tmp_path):
    """A stand-in for kubectl that keeps Secrets as files; the environment to find it by."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    (tmp_path / "secrets").mkdir()
    program.write_text(f"""#!{sys.executable}
import base64, pathlib, sys
store = pathlib.Path({str(tmp_path / "secrets")!r})
words = [word for word in sys.argv[1:] if word not in ("-n", "airflow", "--context=team")]
if words[:2] == ["get", "secret"]:
    file = store / words[2]
    if not file.exists():
        sys.exit(0 if "--ignore-not-found" in words else 1)
    if "name" in words:
        print("secret/" + words[2])
    else:
        fields = dict(line.split("=", 1) for line in file.read_text().splitlines())
        print(base64.b64encode(fields["POSTGRES_PASSWORD"].encode()).decode(), end="")
elif words[:3] == ["create", "secret", "generic"]:
    text = pathlib.Path(words[4].split("=", 1)[1]).read_text()
    if "--dry-run=client" in words:
        print(text, end="")
    else:
        (store / words[3]).write_text(text)
elif words[0] == "apply":
    (store / "airflow-connections").write_text(sys.stdin.read())
""")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin"}, tmp_path / "secrets"


def make_secrets(kubectl, **environment):
    path, store = kubectl
    command = [FOLDER / "secrets.sh", "--context=team"]
    subprocess.run(command, env=path | environment, check=True, capture_output=True)
    return {file.name: file.read_text() for file in store.iterdir()}


def test_script_makes_keys_once_and_connections_anew(kubectl):
    first = make_secrets(kubectl)
    second = make_secrets(kubectl, AIRFLOW_CONN_WAREHOUSE="postgresql://a:b@c/d", TEAM="other")
    connections = second.pop("airflow-connections")
    assert '"namespace": "units"' in first.pop("airflow-connections")
    assert second == first
    assert "AIRFLOW_CONN_WAREHOUSE=postgresql://a:b@c/d" in connections
    assert '"namespace": "other"' in connections


def test_script_ends_where_nobody_tells_what_is_there(kubectl):
    """Taken for absence, a busy API server would have it make new passwords."""
    environment, store = kubectl
    program = Path(environment["PATH"].split(":")[0]) / "kubectl"
    program.write_text("#!/bin/sh\necho net/http: TLS handshake timeout >&2\nexit 1\n")
    done = subprocess.run(
        [FOLDER / "secrets.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "net/http: TLS handshake timeout\n")
    assert list(store.iterdir()) == []


def test_script_takes_a_connection_of_ones_own(kubectl):
    given = '{"conn_type": "fairlead", "extra": {"kube_config_path": "/a"}}'
    made = make_secrets(kubectl, AIRFLOW_CONN_FAIRLEAD_DEFAULT=given)
    assert made["airflow-connections"] == f"AIRFLOW_CONN_FAIRLEAD_DEFAULT={given}\n"


def test_script_refuses_a_connection_of_several_lines(kubectl):
    environment, store = kubectl
    environment |= {"AIRFLOW_CONN_WAREHOUSE": '{\n"conn_type": "sqlite"}'}
    done = subprocess.run(
        [FOLDER / "secrets.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "AIRFLOW_CONN_WAREHOUSE: has several lines" in done.stderr
    assert not (store / "airflow-connections").exists()


def test_keys_are_fit_for_what_they_are(kubectl):
    core = dict(line.split("=", 1) for line in make_secrets(kubectl)["airflow-core"].splitlines())
    Fernet(core["AIRFLOW__CORE__FERNET_KEY"])
    url = core["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert re.fullmatch(
        r"postgresql\+psycopg2://airflow:[A-Za-z0-9]{30,}@airflow-postgres:5432/airflow", url
    )
    assert len(set(core.values())) == len(core) == 4
