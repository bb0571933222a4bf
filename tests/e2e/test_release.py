"""The chart as users get it, on a whole cluster: its own test, its pods, its gateway."""

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def system(installed):
    return installed.kube(installed.release.namespace)


def available(deployment):
    status = deployment.get("status", {})
    return status.get("availableReplicas") == deployment["spec"]["replicas"]


def test_releases_own_test_passes(installed):
    installed.release.test()


def test_pods_would_be_admitted_under_pod_security_restricted(system):
    label = "pod-security.kubernetes.io/enforce=restricted"
    said = system.run("label", "--dry-run=server", "--overwrite", "ns", system.namespace, label)
    assert "would violate" not in said


def test_both_replicas_run_and_one_leads(system):
    operator = system.wait("deployment", "fairlead-operator", available)
    assert operator["spec"]["replicas"] == 2
    lease = system.wait("lease", "fairlead-operator", lambda found: found["spec"]["holderIdentity"])
    pods = system.list("pods", "app.kubernetes.io/component=operator")
    assert lease["spec"]["holderIdentity"] in {pod["metadata"]["name"] for pod in pods}


def test_gateway_of_the_chart_has_an_address(system):
    def programmed(found):
        told = system.condition(found, "Programmed")
        return told is not None and told.status == "True"

    assert system.wait("gateway", "fairlead", programmed)["status"].get("addresses")
