"""What the chart installs for the operator itself."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from fairlead_api import names
from fairlead_operator import settings

CHART = Path(__file__).resolve().parents[2] / "charts/fairlead"
REGISTRY = ("--set", "image.registry=reg")
pytestmark = pytest.mark.cluster


def container(documents):
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"][0]


def environment(documents):
    return {entry["name"]: entry.get("value") for entry in container(documents)["env"]}


def test_operator_runs_twice_with_a_budget_for_disruptions(one):
    assert one("Deployment")["spec"]["replicas"] == 2
    assert one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_single_replica_has_no_budget_that_would_block_a_drain(helm):
    documents = helm.template(*REGISTRY, "--set", "operator.replicas=1")
    assert "PodDisruptionBudget" not in {d["kind"] for d in documents}


@pytest.mark.parametrize("kind", ["Deployment", "Pod"])
def test_pods_pass_pod_security_restricted(one, kind):
    body = one(kind)
    pod = body["spec"]["template"]["spec"] if kind == "Deployment" else body["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in pod["containers"]:
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert all("emptyDir" in volume for volume in pod.get("volumes", []))


def test_ports_are_those_of_the_shared_vocabulary(one):
    ports = {
        port["name"]: port["containerPort"] for port in container([one("Deployment")])["ports"]
    }
    assert ports == {
        "metrics": names.PORT_METRICS,
        "probes": names.PORT_PROBES,
        "progress": names.PORT_PROGRESS,
    }
    service = {port["name"]: port["port"] for port in one("Service")["spec"]["ports"]}
    assert service == {"metrics": names.PORT_METRICS, "progress": names.PORT_PROGRESS}


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_each_probe_asks_the_operator_whether_it_works(one, probe):
    asked = container([one("Deployment")])[probe]["httpGet"]
    assert asked == {"path": "/healthz", "port": "probes"}


def test_service_and_policy_select_the_operators_pods(one):
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert one("Service")["spec"]["selector"].items() <= labels.items()
    selector = one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selector.items() <= labels.items()
    # The operator's own pods must not look like pods that it made.
    assert labels.get(names.LABEL_MANAGED_BY) != names.MANAGED_BY


def test_training_pods_of_any_namespace_reach_the_progress_port_only(one):
    rule = one("NetworkPolicy")["spec"]["ingress"][0]
    source = {
        "namespaceSelector": {},
        "podSelector": {"matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY}},
    }
    assert rule == {"from": [source], "ports": [{"protocol": "TCP", "port": "progress"}]}


def test_helm_tests_pod_reaches_the_ports_that_it_asks(one):
    labels, policy = one("Pod")["metadata"]["labels"], one("NetworkPolicy")
    assert one("Pod")["metadata"]["namespace"] == policy["metadata"]["namespace"]
    open_to_it = {
        port["port"]
        for rule in policy["spec"]["ingress"]
        for source in rule.get("from", [{}])
        if source.get("podSelector", {}).get("matchLabels", {}).items() <= labels.items()
        for port in rule["ports"]
    }
    assert {"metrics", "progress"} <= open_to_it
    assert not one("Service")["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ((), "reg/fairlead-operator:0.1.0"),
        (("images.operator.tag=7",), "reg/fairlead-operator:7"),
        (
            ("images.operator.tag=7", f"images.operator.digest=sha256:{'a' * 64}"),
            f"reg/fairlead-operator@sha256:{'a' * 64}",
        ),
        (("images.operator.repository=team/op",), "reg/team/op:0.1.0"),
    ],
    ids=["chart's version", "tag", "digest wins", "repository"],
)
def test_image_is_put_together_from_values(helm, values, image):
    flags = [word for value in values for word in ("--set-string", value)]
    assert container(helm.template(*REGISTRY, *flags))["image"] == image


@pytest.mark.parametrize("profile", ["default", "minimal", "full"])
def test_operator_understands_every_variable_that_it_is_given(helm, profile):
    values = REGISTRY if profile == "default" else ("-f", str(CHART / f"ci/{profile}-values.yaml"))
    env = environment(helm.template(*values)) | {"FAIRLEAD_NAMESPACE": "system"}
    given = {name: value or "from the pod" for name, value in env.items()}
    assert set(given) <= {settings.variable(one.name) for one in fields(settings.Settings)}
    read = settings.Settings.from_env(given)
    assert read.progress_host == "fairlead-operator.system.svc"


def test_values_reach_the_operators_settings(helm):
    env = environment(helm.template("-f", str(CHART / "ci/full-values.yaml")))
    env |= {"FAIRLEAD_NAMESPACE": "system", "FAIRLEAD_POD_NAME": "p"}
    read = settings.Settings.from_env(env)
    assert read.image_pull_policy == "Always"
    assert read.image_pull_secrets == ("registry-login",)
    assert read.allowed_training_arguments == ("adam_beta2",)
    assert read.allowed_engine_arguments == ("seed", "max-num-seqs")
    assert read.log_level == "DEBUG"
    assert read.domain == "models.example.com"
    assert read.default_gateway == ("gateways", "shared")
    assert read.watch_namespaces == ("team-a", "team-b")
    assert (read.resync_seconds, read.workers) == (120, 8)
    serving = read.serving()
    assert serving.startup_timeout_seconds == 3600
    assert serving.progress_deadline_seconds == 4000
    assert serving.drain_seconds == 300
    assert serving.request_timeout_seconds == 600
    assert serving.cpu_kv_cache_gib == 4
    assert serving.shared_memory == "16Gi"


def test_defaults_of_the_chart_are_those_of_the_operator(helm):
    env = environment(helm.template(*REGISTRY))
    env |= {"FAIRLEAD_NAMESPACE": "system", "FAIRLEAD_POD_NAME": "p"}
    read, plain = settings.Settings.from_env(env), settings.Settings("trainer", "server", "system")
    shared = {"resync_seconds", "workers", "watch_namespaces", "domain", "log_level"}
    shared |= {one.name for one in fields(plain) if one.name.startswith("serving_")}
    assert {name: getattr(read, name) for name in shared} == {
        name: getattr(plain, name) for name in shared
    }


def test_operator_may_use_the_lease_and_the_secret_that_it_is_told(helm, one):
    env = environment([one("Deployment")])
    named = {
        rule["resources"][0]: rule["resourceNames"]
        for rule in one("Role")["rules"]
        if "resourceNames" in rule
    }
    assert named == {
        "leases": [env["FAIRLEAD_LEASE_NAME"]],
        "secrets": [env["FAIRLEAD_CERTIFICATE_SECRET"]],
    }


def test_operator_is_told_the_images_of_the_pods_that_it_makes(helm):
    flags = ("--set-string", "images.trainer.tag=t", "--set-string", "images.server.tag=s")
    told = environment(helm.template(*REGISTRY, *flags))
    assert told["FAIRLEAD_TRAINER_IMAGE"] == "reg/fairlead-trainer:t"
    assert told["FAIRLEAD_SERVER_IMAGE"] == "reg/fairlead-server:s"


def test_pull_secrets_placement_and_resources_reach_the_pod(helm, tmp_path):
    values = {
        "image": {"registry": "reg", "pullSecrets": ["login"], "pullPolicy": "Always"},
        "operator": {
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "priorityClassName": "high",
            "resources": {"limits": {"memory": "1Gi"}},
        },
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    done = helm.template("-f", str(tmp_path / "values.yaml"))
    pod = next(d for d in done if d["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "login"}]
    assert pod["nodeSelector"] == {"pool": "system"}
    assert pod["tolerations"] == [{"key": "k", "operator": "Exists"}]
    assert pod["priorityClassName"] == "high"
    assert pod["containers"][0]["imagePullPolicy"] == "Always"
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
