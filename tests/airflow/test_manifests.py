"""What a DAG gives becomes a manifest that the API server takes, or a message that names fields."""

import pytest

from fairlead_airflow import manifests, naming
from fairlead_api import names

KEY = naming.TaskKey("weekly", "train", "run-1")
SPEC = """
spec:
  model: {uri: "pvc://models/base"}
  datasets: [{name: rows, configMapRef: {name: rows}}]
  trainer: {type: SFT}
  hyperparameters: {learningRate: 2e-4}
  storage: {claimName: work}
"""


def complete(text, kind=names.FINETUNEJOB):
    return manifests.complete(manifests.parse(text), kind, "derived", "team", KEY)


def test_what_is_left_out_is_filled_in():
    body = complete(SPEC)
    assert (body["apiVersion"], body["kind"]) == (names.API_VERSION, "FineTuneJob")
    assert (body["metadata"]["name"], body["metadata"]["namespace"]) == ("derived", "team")


def test_number_without_a_point_is_a_number_as_for_kubectl():
    assert complete(SPEC)["spec"]["hyperparameters"]["learningRate"] == 2e-4


def test_name_in_the_manifest_goes_first():
    body = complete("metadata: {name: mine, namespace: ours}" + SPEC)
    assert (body["metadata"]["name"], body["metadata"]["namespace"]) == ("mine", "ours")


def test_resource_says_which_task_asked_for_it():
    annotations = complete(SPEC)["metadata"]["annotations"]
    assert annotations[names.ANNOTATION_TASK] == "weekly/run-1/train"


def test_null_in_the_head_is_as_if_it_were_left_out():
    body = complete("metadata: {name: null, namespace: null, annotations: null}" + SPEC)
    assert (body["metadata"]["name"], body["metadata"]["namespace"]) == ("derived", "team")
    assert body["metadata"]["annotations"][names.ANNOTATION_TASK] == "weekly/run-1/train"


def test_a_mapping_is_as_good_as_text_and_stays_as_it_is():
    given = {"spec": {"model": {"uri": "pvc://models/base"}}}
    body = manifests.complete(manifests.parse(given), names.MODELSERVICE, "m", "team", KEY)
    assert body["metadata"]["name"] == "m"
    assert given == {"spec": {"model": {"uri": "pvc://models/base"}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(SPEC.replace("SFT", "sft"), ["spec.trainer.type"], id="value"),
        pytest.param(SPEC.replace("pvc:", "s3:"), ["spec.model.uri"], id="scheme"),
        pytest.param(SPEC + "  replicas: 2\n", ["spec.replicas"], id="unknown field"),
        pytest.param("kind: ModelService" + SPEC, ["kind", "FineTuneJob"], id="other kind"),
        pytest.param("apiVersion: v1" + SPEC, ["apiVersion", "v1alpha1"], id="other group"),
        pytest.param("metadata: []" + SPEC, ["metadata"], id="metadata"),
        pytest.param("metadata: {name: A_b}" + SPEC, ["metadata.name"], id="name"),
        pytest.param("spec: {}", ["spec.model", "spec.storage"], id="two at once"),
    ],
)  # fmt: skip
def test_invalid_manifest_is_refused_with_its_fields(text, words):
    with pytest.raises(manifests.InvalidManifest) as refused:
        complete(text)
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [("a: [", "YAML"), ("a: 1\n---\nb: 2", "single"), ("- a", "mapping"), (7, "int")],
    ids=["broken", "two documents", "list", "number"],
)
def test_what_is_no_manifest_is_said_to_be_none(given, words):
    with pytest.raises(manifests.InvalidManifest, match=words):
        manifests.parse(given)
