"""What users get wrong, and the message they find where they look: on the resource, by kubectl."""

import json

import pytest

pytestmark = pytest.mark.e2e

GOOD = json.dumps({"prompt": "a", "completion": "b"})


def job(name, **spec):
    """A FineTuneJob of one step whose base isn't there."""
    plain = {
        "model": {"uri": "pvc://storage/nowhere/base"},
        "datasets": [{"name": "rows", "inline": GOOD + "\n" + GOOD}],
        "trainer": {"type": "SFT"},
        "hyperparameters": {"maxSteps": 1},
        "storage": {"claimName": "storage"},
        "maxRestarts": 0,
    }
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": plain | spec,
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(GOOD + '\n{"prompt": "c", \n', ["rows", "line 2"], id="broken line"),
        pytest.param(
            GOOD + '\n{"text": "c"}\n', ["rows", "line 2", "prompt"], id="row of another format"
        ),
        pytest.param('{"question": "c"}\n', ["rows", "line 1", "question"], id="no known format"),
        pytest.param("\n\n", ["rows", "no rows"], id="no rows"),
    ],
)
def test_dataset_error_names_the_dataset_and_the_line(shared_kube, base, rows, words, request):
    name = "data-" + request.node.callspec.id.replace(" ", "-")
    datasets = [{"name": "rows", "inline": rows}]
    shared_kube.apply(job(name, model={"uri": base}, datasets=datasets))
    failed = shared_kube.wait_for("finetunejob", name, "Failed")
    assert failed.reason == "DatasetError"
    assert [word for word in words if word not in failed.message] == []
    events = shared_kube.get("finetunejob", name)["status"]
    assert events["phase"] == "Failed"


def test_missing_model_path_is_named_before_workers_are_asked_for(shared_kube):
    shared_kube.apply(job("no-model"))
    failed = shared_kube.wait_for("finetunejob", "no-model", "Failed")
    assert failed.reason == "ModelError"
    assert "pvc://storage/nowhere/base" in failed.message
    assert shared_kube.find("job", "no-model-train-a1") is None


def test_job_waits_for_a_claim_that_does_not_exist_and_goes_on_when_it_does(kube):
    kube.apply(job("no-claim", storage={"claimName": "absent"}))
    refused = kube.wait_for("finetunejob", "no-claim", "Admitted", status="False")
    assert refused.reason == "ClaimNotFound"
    assert "absent" in refused.message
    claim = kube.get("pvc", "storage")
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "absent"},
            "spec": {key: claim["spec"][key] for key in ("accessModes", "resources")},
        }
    )
    kube.wait_for("finetunejob", "no-claim", "Admitted")


def test_out_of_memory_is_named(shared_kube, base):
    little = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    shared_kube.apply(job("little-memory", model={"uri": base}, resourcesPerNode=little))
    failed = shared_kube.wait_for("finetunejob", "little-memory", "Failed")
    assert failed.reason == "OutOfMemory"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"numNodes": 0}, "spec.numNodes", id="out of bounds"),
        pytest.param({"model": {"uri": "s3://a/b"}}, "spec.model.uri", id="unknown scheme"),
        pytest.param({"learningRate": 1}, "learningRate", id="unknown field"),
        pytest.param({"tuning": {"type": "Full", "r": 4}}, "spec.tuning", id="rank without LoRA"),
    ],
)
def test_invalid_manifest_is_refused_at_apply_with_the_field_named(shared_kube, spec, field):
    with pytest.raises(AssertionError) as refused:
        shared_kube.apply(job("invalid", **spec))
    assert field in str(refused.value)
