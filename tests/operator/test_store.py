"""The cache never goes back, never resurrects, and keeps no more than what is read."""

import json
import random
import string
from datetime import UTC, datetime

import pytest

from fairlead_api import conditions, names
from fairlead_api.finetunejob import FineTuneJob, FineTuneJobSpec
from fairlead_operator import kube
from fairlead_operator.finetune.options import Options
from fairlead_operator.finetune.plan import plan
from fairlead_operator.plan import Observed
from fairlead_operator.store import Key, Store, slim

JOB = Key(kube.FINETUNEJOB, "team", "tune")


def pod(name="p", version=1, uid="u", labels=None, **more):
    labels = {names.LABEL_FINETUNEJOB: "tune"} if labels is None else labels
    head = {"name": name, "namespace": "team", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": head | {"labels": labels}} | more


@pytest.fixture
def store():
    return Store()


@pytest.mark.parametrize(
    ("held", "offered", "taken"),
    [
        pytest.param(5, 6, True, id="newer"),
        pytest.param(5, 5, False, id="same"),
        pytest.param(5, 4, False, id="older"),
        pytest.param(5, 10, True, id="numeric-not-alphabetic"),
    ],
)
def test_only_newer_versions_are_taken(store, held, offered, taken):
    store.put(kube.POD, pod(version=held))
    assert store.put(kube.POD, pod(version=offered)) is taken
    assert store.versions(kube.POD)["team", "p", "u"] == max(held, offered)


def test_an_answer_that_comes_after_the_deletion_brings_nothing_back(store):
    store.put(kube.POD, pod(version=3))
    store.drop(kube.POD, "team", "p", "u", version=9)
    assert store.put(kube.POD, pod(version=8)) is False
    assert store.get(kube.POD, "team", "p") is None
    assert store.is_settled(kube.POD, "team", "p", 8)
    assert store.put(kube.POD, pod(version=11, uid="next")) is True


@pytest.mark.parametrize(
    ("deletion", "later"),
    [
        pytest.param(9, False, id="its-own"),
        pytest.param(4, True, id="of-one-before-it"),
        pytest.param(0, True, id="found-by-an-audit"),
    ],
)
def test_object_that_can_not_be_kept_is_settled_until_its_deletion(store, deletion, later):
    store.pass_over(kube.POD, "team", "p", 7)
    assert store.is_settled(kube.POD, "team", "p", 7)
    assert not store.is_settled(kube.POD, "team", "p", 8)
    store.drop(kube.POD, "team", "p", "u", version=deletion)
    assert store.is_settled(kube.POD, "team", "p", 7) is later


def test_version_that_can_not_be_kept_leaves_the_one_before(store):
    store.put(kube.POD, pod(version=1, status={"phase": "Running"}))
    with pytest.raises(ValueError):
        store.put(kube.POD, pod(version=2, status={"phase": "Failed", "message": "\ud800"}))
    assert store.phases(kube.POD) == {"Running": 1}
    (kept,) = store.children(JOB, kube.POD)
    assert kube.version(kept) == 1


def test_dropping_leaves_a_successor_of_the_same_name_alone(store):
    store.put(kube.POD, pod(version=7, uid="second"))
    assert store.drop(kube.POD, "team", "p", "first") is False
    assert store.get(kube.POD, "team", "p") is not None


def test_children_are_found_by_their_label_in_order_of_name(store):
    for name in ("b", "a"):
        store.put(kube.POD, pod(name))
    store.put(kube.POD, pod("other", labels={names.LABEL_FINETUNEJOB: "else"}))
    store.put(kube.POD, pod("none", labels={}))
    assert [c["metadata"]["name"] for c in store.children(JOB, kube.POD)] == ["a", "b"]
    assert store.children(JOB, kube.JOB) == ()


def test_a_child_that_loses_its_label_is_no_child_any_more(store):
    store.put(kube.POD, pod(version=1))
    store.put(kube.POD, pod(version=2, labels={}))
    assert store.children(JOB, kube.POD) == ()


def test_a_dropped_child_leaves_no_index_behind(store):
    store.put(kube.POD, pod())
    store.drop(kube.POD, "team", "p", "u")
    assert store._children == {}


@pytest.mark.parametrize("first", [1, 50_000], ids=["small", "larger-than-a-shape"])
def test_objects_are_kept_whole_whatever_the_first_of_their_kind_was(store, first):
    texts = ["x" * first, "", "other", 'é\n"}' * 30_000, random.Random(0).randbytes(9000).hex()]
    for number, text in enumerate(texts):
        store.put(kube.POD, pod(f"pod-{number}", status={"text": text}))
    for number, text in enumerate(texts):
        assert store.get(kube.POD, "team", f"pod-{number}")["status"] == {"text": text}


def test_objects_of_a_kind_that_are_alike_take_a_tenth(store):
    rules = [{"action": "FailJob", "onExitCodes": {"values": [code]}} for code in range(64, 84)]
    for number in range(2):
        job = pod(f"job-{number}", uid=f"{number:032x}", spec={"podFailurePolicy": rules})
        store.put(kube.JOB, job)
    text = json.dumps(store.get(kube.JOB, "team", "job-1"))
    assert len(store._entries[kube.JOB]["team", "job-1"].content) < len(text) / 10


def test_what_is_read_is_a_copy(store):
    store.put(kube.POD, pod(status={"phase": "Running"}))
    store.get(kube.POD, "team", "p")["status"]["phase"] = "Failed"
    assert store.get(kube.POD, "team", "p")["status"]["phase"] == "Running"


def service(job, version=1):
    head = {"name": "s", "namespace": "team", "uid": "s", "resourceVersion": str(version)}
    model = {"fineTuneJobRef": {"name": job}} if job else {"uri": "pvc://a/b"}
    return {"kind": "ModelService", "metadata": head, "spec": {"model": model}}


@pytest.mark.parametrize(
    ("second", "of_first", "of_second"),
    [
        pytest.param("tune", 1, 1, id="unchanged"),
        pytest.param("else", 0, 1, id="another-job"),
        pytest.param(None, 0, 0, id="no-job-any-more"),
    ],
)
def test_services_are_found_by_the_job_they_name(store, second, of_first, of_second):
    store.put(kube.MODELSERVICE, service("tune"))
    store.put(kube.MODELSERVICE, service(second, version=2))
    assert len(store.services_of(JOB)) == of_first
    other = Key(kube.FINETUNEJOB, "team", second or "none")
    assert len(store.services_of(other)) == of_second


@pytest.mark.parametrize(
    ("kind", "manifest", "kept"),
    [
        pytest.param(
            kube.FINETUNEJOB,
            {
                "metadata": {
                    "managedFields": [1],
                    "annotations": {
                        "kubectl.kubernetes.io/last-applied-configuration": "big",
                        "mine": "kept",
                    },
                },
                "spec": {"a": 1},
            },
            {"metadata": {"annotations": {"mine": "kept"}}, "spec": {"a": 1}},
            id="managed-fields-and-kubectls-copy",
        ),
        pytest.param(
            kube.JOB,
            {"spec": {"template": {}, "podFailurePolicy": {"rules": []}}, "status": {}},
            {"metadata": {}, "spec": {"podFailurePolicy": {"rules": []}}, "status": {}},
            id="a-jobs-pod-template-but-not-its-rules",
        ),
        pytest.param(
            kube.POD,
            {"spec": {"nodeName": "n", "containers": [1]}, "status": {"phase": "Running"}},
            {"metadata": {}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}},
            id="a-pods-spec",
        ),
        pytest.param(
            kube.CONFIG_MAP,
            {"data": {"a": "b"}, "binaryData": {}, "immutable": True},
            {"metadata": {}, "immutable": True},
            id="a-config-maps-data",
        ),
        pytest.param(
            kube.REVISION, {"data": {"a": 1}}, {"metadata": {}, "data": {"a": 1}}, id="revision"
        ),
    ],
)
def test_the_bulk_that_nobody_reads_is_left_out(kind, manifest, kept):
    before = json.dumps(manifest)
    assert slim(kind, manifest) == kept
    assert json.dumps(manifest) == before, "the caller's object was changed"


@pytest.mark.parametrize(
    ("condition", "status", "kept"),
    [
        pytest.param("Complete", "True", False, id="complete"),
        pytest.param("Failed", "True", False, id="failed"),
        pytest.param("Complete", "False", True, id="not-complete"),
        pytest.param("Trained", "True", True, id="only-trained"),
        pytest.param(None, None, True, id="new"),
    ],
)
def test_inline_rows_are_kept_while_a_run_file_may_need_them(store, job, condition, status, kept):
    letters = string.ascii_letters + string.digits + string.punctuation
    big = "".join(random.Random(0).choices(letters, k=131_000))  # hardly to be compressed
    rows = [{"name": "big", "inline": big}, {"name": "small", "uri": "pvc://a/b"}]
    job["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    job["spec"]["datasets"] = rows
    if condition:
        job["status"] = {"conditions": [{"type": condition, "status": status}]}
    store.put(kube.FINETUNEJOB, job)
    held = store.get(kube.FINETUNEJOB, "team", "tune")
    assert (held["spec"]["datasets"] == rows) is kept
    assert FineTuneJobSpec.model_validate(held["spec"]).datasets[1].uri == "pvc://a/b"
    size = len(store._entries[kube.FINETUNEJOB]["team", "tune"].content)
    assert (size > 100_000) is kept


@pytest.mark.parametrize("end", ["Complete", "Failed"])
def test_the_plan_of_an_ended_job_needs_no_inline_rows(job, end):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ended = conditions.condition(end, True, "Succeeded", now=now, generation=1)
    job["metadata"] |= {"uid": "u", "generation": 1}
    job["spec"]["datasets"] = [{"name": "rows", "inline": "{}" * 1000}]
    job["status"] = {"conditions": [ended.as_object()]}
    whole, slimmed = FineTuneJob.read(job), FineTuneJob.read(slim(kube.FINETUNEJOB, job))
    assert whole != slimmed
    options = Options(trainer_image="t")
    made = plan(whole, Observed(), now, options)
    assert made == plan(slimmed, Observed(), now, options)
    assert made.acts == ()


def test_every_resource_can_be_listed_by_kind(store):
    store.put(kube.MODELSERVICE, service("tune"))
    assert [str(key) for key in store.keys(kube.MODELSERVICE)] == ["ModelService team/s"]


@pytest.mark.parametrize(
    ("events", "phases"),
    [
        pytest.param([pod()], {"": 1}, id="none-yet"),
        pytest.param(
            [pod("a", status={"phase": "Running"}), pod("b", status={"phase": "Running"})],
            {"Running": 2},
            id="two-alike",
        ),
        pytest.param(
            [pod(status={"phase": "Running"}), pod(version=2, status={"phase": "Failed"})],
            {"Failed": 1},
            id="it-moves-on",
        ),
        pytest.param(
            [pod(version=2, status={"phase": "Failed"}), pod(status={"phase": "Running"})],
            {"Failed": 1},
            id="an-older-event",
        ),
        pytest.param([pod(status={"phase": "Running"}), None], {}, id="it-goes"),
    ],
)
def test_phases_are_counted_as_objects_come_and_go(store, events, phases):
    for event in events:
        if event is None:
            store.drop(kube.POD, "team", "p", "u")
        else:
            store.put(kube.POD, event)
    assert store.phases(kube.POD) == phases
    assert store.phases(kube.JOB) == {}


ODD = [
    pytest.param(kube.MODELSERVICE, {"spec": None}, id="spec-null"),
    pytest.param(kube.MODELSERVICE, {"spec": {"model": None}}, id="model-null"),
    pytest.param(kube.MODELSERVICE, {"spec": {"model": "base"}}, id="model-a-word"),
    pytest.param(
        kube.MODELSERVICE, {"spec": {"model": {"fineTuneJobRef": {}}}}, id="reference-empty"
    ),
    pytest.param(kube.MODELSERVICE, {"status": {"phase": 7}}, id="phase-a-number"),
    pytest.param(
        kube.FINETUNEJOB,
        {"spec": {}, "status": {"conditions": [{"type": "Complete", "status": "True"}, {}]}},
        id="ended-without-datasets",
    ),
    pytest.param(
        kube.FINETUNEJOB,
        {"status": {"conditions": [{"type": "Failed", "status": "True"}]}},
        id="ended-without-spec",
    ),
    pytest.param(kube.JOB, {"metadata": {"labels": None}}, id="labels-null"),
]


@pytest.mark.parametrize(("kind", "odd"), ODD)
def test_what_an_older_schema_let_in_is_kept_and_replaced(kind, odd):
    """The pass over it says what is wrong; the cache must not fail for it, at each start again."""
    store = Store()
    head = {"name": "odd", "namespace": "team", "uid": "u"} | odd.get("metadata", {})
    for version in ("1", "2"):
        body = odd | {"metadata": head | {"resourceVersion": version}}
        assert store.put(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **body})
    assert store.uid(kind, "team", "odd") == "u"
    assert store.version(kind, "team", "odd") == 2
    assert store.get(kind, "team", "odd")["metadata"]["name"] == "odd"
    assert store.drop(kind, "team", "odd", "u")
    assert (store.uid(kind, "team", "odd"), store.version(kind, "team", "odd")) == (None, 0)
