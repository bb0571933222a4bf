"""What the chart grants is what the operator uses, by the API server's own audit log.

Named so that it runs after the other end-to-end tests: they are the use.
"""

import contextlib
from datetime import datetime

import pytest

from fairlead_chaos import rights

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


def _opened(stack, folder):
    """All files, opened at once: one that is put aside meanwhile is still the same file."""
    while True:
        names_before = sorted(folder.iterdir())
        with contextlib.ExitStack() as opened, contextlib.suppress(FileNotFoundError):
            files = [opened.enter_context(name.open()) for name in names_before]
            if sorted(folder.iterdir()) == names_before:
                stack.push(opened.pop_all())
                return files


@pytest.fixture(scope="module")
def calls(installed, since):
    """The operator's finished calls, one audit event each."""
    release = installed.release
    account = rights.account_of(release.namespace, f"{release.name}-operator")
    folder, found = installed.cluster.where.audit_log.parent, []
    with contextlib.ExitStack() as stack:
        for lines in _opened(stack, folder):
            whole = (line for line in lines if line.endswith("\n"))
            found += rights.events_of(whole, [account], since)
    assert found, f"{account} made no call since {since}"
    return found


@pytest.fixture(scope="module")
def granted(system, installed):
    """The operator's roles and bindings, as they stand."""
    release = installed.release
    everywhere, own = f"{release.namespace}:{release.name}-operator", f"{release.name}-operator"
    return [
        system.get("clusterrole", everywhere),
        system.get("clusterrolebinding", everywhere),
        system.get("role", own),
        system.get("rolebinding", own),
    ]


def test_operator_was_refused_nothing(calls):
    assert rights.refused(calls) == []


def test_what_is_granted_is_what_was_used(calls, granted):
    found = rights.compare(calls, granted, ON_TROUBLE)
    assert not found, found
