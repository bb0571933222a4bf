"""What the chart grants is what the operator uses, by the API server's own audit log.

Named so that it runs after the other end-to-end tests: they are the use.
"""

import json
from datetime import datetime

import pytest

pytestmark = pytest.mark.e2e

ON_TROUBLE = {
    ("", "pods", "get"): "read again after a conflict",
    ("", "configmaps", "get"): "the owner of one that exists already is looked at",
    ("batch", "jobs", "get"): "the owner of one that exists already is looked at",
    ("apps", "controllerrevisions", "get"): "the owner of one that exists already is looked at",
    ("apps", "controllerrevisions", "delete"): "after more rollouts than are kept",
    ("fairlead.dev", "finetunejobs", "get"): "read again after a conflict",
    ("fairlead.dev", "modelservices", "get"): "read again after a conflict",
    ("", "secrets", "create"): "at the first start of all",
    ("coordination.k8s.io", "leases", "create"): "at the first start of all",
    ("", "secrets", "update"): "when the certificate has to be renewed",
    ("gateway.networking.k8s.io", "httproutes", "delete"): "a service gives up its gateways",
}
"""Rights whose use is rare, takes a crash or months; the fast tests make those happen."""


@pytest.fixture(scope="module")
def system(installed):
    return installed.kube(installed.release.namespace)


@pytest.fixture(scope="module")
def since(system):
    """When the operator that runs now was rolled out."""
    made = [
        each["metadata"]["creationTimestamp"]
        for each in system.list("replicasets", "app.kubernetes.io/component=operator")
        if each["spec"]["replicas"]
    ]
    return datetime.fromisoformat(max(made))


@pytest.fixture(scope="module")
def calls(installed, since):
    """The operator's finished calls, one audit event each."""
    release = installed.release
    account = f"system:serviceaccount:{release.namespace}:{release.name}-operator"
    found = []
    for file in sorted(installed.cluster.where.audit_log.parent.iterdir()):
        with file.open() as lines:
            events = (json.loads(line) for line in lines if account in line)
            found += [
                event
                for event in events
                if event["user"]["username"] == account
                and event["stage"] in ("ResponseComplete", "ResponseStarted")
                and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since
            ]
    assert found, f"{account} made no call since {since}"
    return found


def used(event):
    """The rights that a call needed: server-side apply of something new needs two."""
    what = event.get("objectRef")
    if what is None:
        return set()  # discovery, granted to everybody
    resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
    rights = {(what.get("apiGroup", ""), resource, event["verb"])}
    if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
        rights.add((what.get("apiGroup", ""), resource, "create"))
    return rights


@pytest.fixture(scope="module")
def granted(system, installed):
    release = installed.release
    roles = (
        system.get("clusterrole", f"{release.namespace}:{release.name}-operator"),
        system.get("role", f"{release.name}-operator"),
    )
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_operator_was_refused_nothing(calls):
    refused = [
        f"{event['verb']} {event['requestURI']}: {event['responseStatus'].get('reason')}"
        for event in calls
        # By authorization, that is: admission answers 403 too, in a namespace that goes away.
        if event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
    ]
    assert refused == []


def test_every_call_stands_on_a_right_of_the_chart(calls, granted):
    needed = set().union(*map(used, calls))
    # What every service account may do needs no rule of ours.
    common = {right for right in needed if right[0].startswith("authorization.")}
    assert needed - common - granted == set()


def test_every_right_was_used(calls, granted):
    needed = set().union(*map(used, calls))
    assert granted - needed - set(ON_TROUBLE) == set()


def test_list_of_rare_rights_holds_granted_ones_only(granted):
    assert set(ON_TROUBLE) - granted == set()
