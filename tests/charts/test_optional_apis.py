"""What the chart installs only where the cluster has the kinds for it."""

import re
from pathlib import Path

import pytest

from fairlead_api import metrics, names
from fairlead_chaos.scenarios import manifests
from fairlead_operator import reconcile

CHART = Path(__file__).resolve().parents[2] / "charts/fairlead"
GATEWAY_API = "gateway.networking.k8s.io/v1/Gateway"
RULE = "monitoring.coreos.com/v1/PrometheusRule"
POD_MONITOR = "monitoring.coreos.com/v1/PodMonitor"
REGISTRY = ("--set", "image.registry=reg")
pytestmark = pytest.mark.cluster


def kinds(documents):
    return {document["kind"] for document in documents}


def environment(documents):
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return {entry["name"]: entry.get("value") for entry in env}


@pytest.mark.parametrize(
    ("values", "apis", "made", "told"),
    [
        ((), (GATEWAY_API,), True, "system/fairlead"),
        # The operator is told all the same: it notices Gateway API when it appears.
        ((), (), False, "system/fairlead"),
        (("gateway.create=false",), (GATEWAY_API,), False, "system/fairlead"),
        (
            ("gateway.create=false", "gateway.name=shared", "gateway.namespace=infra"),
            (GATEWAY_API,),
            False,
            "infra/shared",
        ),
        (("gateway.enabled=false",), (GATEWAY_API,), False, None),
    ],
    ids=["made", "no Gateway API", "not wanted", "an existing one", "disabled"],
)
def test_gateway_is_made_where_it_can_be(helm, values, apis, made, told):
    flags = [word for value in values for word in ("--set", value)]
    documents = helm.template(*REGISTRY, *flags, apis=apis)
    assert ("Gateway" in kinds(documents)) is made
    assert environment(documents).get("FAIRLEAD_GATEWAY") == told


def test_gateways_of_the_proof_harness_are_like_the_one_that_is_made(helm):
    documents = helm.template(*REGISTRY, apis=(GATEWAY_API,))
    made = next(d for d in documents if d["kind"] == "Gateway")
    assert manifests.gateway("edge")["spec"] == made["spec"]


def test_gateway_takes_routes_of_every_namespace(helm):
    flags = ("--set", "gateway.className=eg", "--set", "gateway.port=8080")
    documents = helm.template(*REGISTRY, *flags, apis=(GATEWAY_API,))
    spec = next(d for d in documents if d["kind"] == "Gateway")["spec"]
    assert spec["gatewayClassName"] == "eg"
    listener = spec["listeners"][0]
    assert (listener["protocol"], listener["port"]) == ("HTTP", 8080)
    assert listener["allowedRoutes"] == {"namespaces": {"from": "All"}}


@pytest.mark.parametrize(
    ("values", "apis", "expected"),
    [
        ((), (POD_MONITOR,), 2),
        ((), (), 0),
        (("monitoring.enabled=false",), (POD_MONITOR,), 0),
    ],
    ids=["made", "no such kind", "not wanted"],
)
def test_pod_monitors_are_made_where_they_can_be(helm, values, apis, expected):
    flags = [word for value in values for word in ("--set", value)]
    documents = helm.template(*REGISTRY, *flags, apis=apis)
    assert [d["kind"] for d in documents].count("PodMonitor") == expected


def test_monitors_carry_the_labels_that_prometheus_selects_by(helm):
    documents = helm.template(
        *REGISTRY, "--set", "monitoring.labels.release=prom", apis=(POD_MONITOR,)
    )
    monitors = [d for d in documents if d["kind"] == "PodMonitor"]
    assert {d["metadata"]["labels"]["release"] for d in monitors} == {"prom"}


def test_serving_pods_are_found_by_the_labels_that_the_operator_writes(one):
    monitor = one("PodMonitor", "fairlead-modelservices")["spec"]
    assert monitor["namespaceSelector"] == {"any": True}
    assert monitor["selector"]["matchLabels"] == {names.LABEL_MANAGED_BY: names.MANAGED_BY}
    keys = [expression["key"] for expression in monitor["selector"]["matchExpressions"]]
    assert keys == [names.LABEL_MODELSERVICE]
    assert monitor["podTargetLabels"] == [names.LABEL_MODELSERVICE, names.LABEL_REVISION]


def test_network_policy_can_be_left_to_the_admin(helm):
    documents = helm.template(*REGISTRY, "--set", "networkPolicy.enabled=false")
    assert "NetworkPolicy" not in kinds(documents)


def test_minimal_profile_needs_only_kubernetes_own_kinds(helm):
    values = str(CHART / "ci/minimal-values.yaml")
    documents = helm.template("-f", values, apis=(GATEWAY_API, POD_MONITOR))
    foreign = {d["apiVersion"] for d in documents if "." in d["apiVersion"]}
    assert {version for version in foreign if "k8s.io" not in version} == set()
    assert not {version for version in foreign if version.startswith("gateway.")}


def test_alerts_use_metrics_and_outcomes_that_the_operator_has(helm):
    documents = helm.template(*REGISTRY, apis=(RULE,))
    rule = next(d for d in documents if d["kind"] == "PrometheusRule")
    alerts = [alert for group in rule["spec"]["groups"] for alert in group["rules"]]
    assert len(alerts) == 3
    known = {value for key, value in vars(metrics).items() if key.isupper()}
    for alert in alerts:
        used = {word.removesuffix("_total") for word in re.findall(r"fairlead_\w+", alert["expr"])}
        assert used
        assert used <= known
        for outcome in re.findall(r'outcome="(\w+)"', alert["expr"]):
            assert outcome in {one.value for one in reconcile.Outcome}
