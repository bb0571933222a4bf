"""Compute resources that admission takes, a pod may carry: none is refused only when it is made."""

import random

import pytest

from fairlead_admission import fields, wire
from fairlead_api.quantities import ResourceRequirements
from fairlead_operator.finetune import resources

pytestmark = pytest.mark.cluster

NUM_DRAWN = 400
PODS = "/api/v1/namespaces/default/pods"


def test_resources_that_are_valid_are_valid_in_a_pod(cluster):
    part = fields.resources(fields.GPU, "example.com/a", "a.b/c")
    rng = random.Random(7)

    def offer(one, drawn):
        asked = resources.as_container(ResourceRequirements.model_validate(drawn))
        container = {"name": "a", "image": "b", "resources": asked}
        head = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "resources"}}
        pod = head | {"spec": {"containers": [container]}}
        return drawn, one.ask("POST", PODS, pod, dryRun="All", fieldValidation="Strict")

    drawn = [part.draw(rng) for _ in range(NUM_DRAWN)]
    answers = wire.each(cluster.kubeconfig, drawn, offer)
    assert [(asked, answer.message) for asked, answer in answers if not answer.accepted] == []
