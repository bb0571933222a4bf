"""Deployments and Services of revisions, and what a Deployment's status says."""

import dataclasses

import pytest

from fairlead_api.modelservice import PinnedModel
from fairlead_operator.serving import deployment, revision
from fairlead_operator.serving import service as services
from fairlead_operator.serving.deployment import Health


@pytest.fixture
def render(make_service, options):
    def render(replicas=2, **changes):
        service = make_service(replicas=replicas)
        chosen = dataclasses.replace(options, **changes)
        wanted = revision.wanted(service, PinnedModel(uri="pvc://models/base"), (), (), chosen)
        return wanted, deployment.deployment(service, wanted, chosen)

    return render


def test_pods_carry_the_labels_that_their_deployment_selects(render):
    wanted, found = render()
    selected = found["spec"]["selector"]["matchLabels"]
    assert selected == {"fairlead.dev/modelservice": "dates", "fairlead.dev/revision": wanted.name}
    assert selected.items() <= found["spec"]["template"]["metadata"]["labels"].items()
    assert "fairlead.dev/revision" not in wanted.template["metadata"]["labels"]


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"replicas": 7}, "replicas", 7),
        ({"settle_seconds": 9}, "minReadySeconds", 9),
        ({"progress_deadline_seconds": 99}, "progressDeadlineSeconds", 99),
    ],
    ids=["replicas", "settling", "deadline"],
)
def test_deployment_says_how_many_and_how_patient(render, changes, field, value):
    assert render(**changes)[1]["spec"][field] == value
    assert render()[1]["spec"][field] != value


def test_services_lead_to_the_pods_port_and_differ_by_name(make_service):
    service = make_service()
    stable = services.stable_service(service, "x")
    own = services.revision_service(service, "x")
    assert stable["metadata"]["name"] == "dates"
    assert own["metadata"]["name"] == "dates-x"
    assert stable["spec"] == own["spec"]
    assert stable["spec"]["ports"][0] == {
        "name": "http",
        "port": 80,
        "protocol": "TCP",
        "targetPort": "http",
    }
    assert services.selected_revision(stable) == "x"
    assert services.selected_revision(None) == ""


def seen(replicas=2, generation=1, observed=1, available=2, ready=2, reason="ReplicaSetUpdated"):
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {
            "observedGeneration": observed,
            "replicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": available,
            "conditions": [{"type": "Progressing", "reason": reason}],
        },
    }


@pytest.mark.parametrize(
    ("manifest", "complete"),
    [
        (seen(), True),
        (seen(available=1), False),
        (seen(available=0, ready=2), False),
        (seen(generation=2), False),
        (seen(replicas=1, available=1), False),
        (seen(replicas=1), False),
    ],
    ids=["all", "some", "ready but too new", "status is old", "smaller", "being scaled"],
)
def test_complete_means_all_replicas_of_the_spec_for_long_enough(manifest, complete):
    assert deployment.health(manifest, 2).complete is complete


def test_health_of_nothing_is_nothing():
    assert deployment.health(None, 2) == Health()
    fresh = {"metadata": {"generation": 1}, "spec": {"replicas": 0}}
    assert deployment.health(fresh, 0) == Health(seen=True)


@pytest.mark.parametrize(
    ("reason", "proven", "overdue"),
    [
        ("ReplicaSetUpdated", False, False),
        ("NewReplicaSetAvailable", True, False),
        ("ProgressDeadlineExceeded", False, True),
    ],
)
def test_deployment_remembers_how_it_went(reason, proven, overdue):
    found = deployment.health(seen(reason=reason), 2)
    assert (found.proven, found.overdue) == (proven, overdue)
