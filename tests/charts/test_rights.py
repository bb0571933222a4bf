"""Rights: no wildcard, nothing cluster-wide that a namespace is enough for."""

import pytest

from fairlead_api import names

pytestmark = pytest.mark.cluster


def rules(role):
    return [
        (group, resource, verb, tuple(rule.get("resourceNames", [])))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def test_no_role_has_a_wildcard(rendered):
    roles = [d for d in rendered if d["kind"] in ("Role", "ClusterRole")]
    assert roles
    assert [rule for role in roles for rule in rules(role) if "*" in rule[:3]] == []


def test_operator_never_reads_secrets_of_others(one):
    everywhere = rules(one("ClusterRole", "system:fairlead-operator"))
    assert [rule for rule in everywhere if rule[1] == "secrets"] == []
    own = [rule for rule in rules(one("Role")) if rule[1] == "secrets" and rule[2] != "create"]
    assert {rule[3] for rule in own} == {("fairlead-operator-certificate",)}


def test_operator_writes_no_spec_of_ours(one):
    ours = [r for r in rules(one("ClusterRole", "system:fairlead-operator")) if r[0] == names.GROUP]
    assert {verb for _, resource, verb, _ in ours if "/" not in resource} == {
        "get",
        "list",
        "watch",
    }
    assert {resource for _, resource, verb, _ in ours if verb == "patch"} == {
        f"{names.FINETUNEJOB_PLURAL}/status",
        f"{names.MODELSERVICE_PLURAL}/status",
    }


@pytest.mark.parametrize(
    ("role", "aggregated_to", "verbs"),
    [
        ("system:fairlead-view", {"view"}, {"get", "list", "watch"}),
        (
            "system:fairlead-edit",
            {"edit", "admin"},
            {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
        ),
    ],
    ids=["view", "edit"],
)
def test_users_roles_extend_kubernetes_own(one, role, aggregated_to, verbs):
    body = one("ClusterRole", role)
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    labels = {key for key, value in body["metadata"]["labels"].items() if value == "true"}
    assert labels == {prefix + name for name in aggregated_to}
    for plural in (names.FINETUNEJOB_PLURAL, names.MODELSERVICE_PLURAL):
        assert {v for _, resource, v, _ in rules(body) if resource == plural} == verbs


def test_operator_sees_no_definition_but_the_optional_one(one):
    found = [r for r in rules(one("ClusterRole", "system:fairlead-operator")) if "custom" in r[1]]
    assert found
    assert {rule[3] for rule in found} == {("httproutes.gateway.networking.k8s.io",)}


WATCHED = ("--set", "image.registry=reg", "--set", "operator.watchNamespaces={team-a,team-b}")


def test_operator_of_some_namespaces_has_its_rights_in_those_only(helm, one):
    found = {(d["kind"], d["metadata"]["name"]): d for d in helm.template(*WATCHED)}
    everywhere = rules(found["ClusterRole", "system:fairlead-operator"])
    assert {resource for _, resource, _, _ in everywhere} == {
        "gateways",
        "tokenreviews",
        "customresourcedefinitions",
        "namespaces",
    }
    role = found["ClusterRole", "system:fairlead-operator-namespaced"]
    bound = [
        (d["metadata"]["namespace"], d["roleRef"]["name"], d["subjects"][0]["name"])
        for d in helm.template(*WATCHED)
        if d["kind"] == "RoleBinding" and d["roleRef"]["kind"] == "ClusterRole"
    ]
    assert bound == [
        (name, role["metadata"]["name"], "fairlead-operator") for name in ("team-a", "team-b")
    ]
    # Not one right more than an operator of all namespaces has, but to see namespaces come and go.
    whole = set(rules(one("ClusterRole", "system:fairlead-operator")))
    more = {*everywhere, *rules(role)} - whole
    assert more == {("", "namespaces", verb, ()) for verb in ("list", "watch")}
    assert whole <= {*everywhere, *rules(role)}
