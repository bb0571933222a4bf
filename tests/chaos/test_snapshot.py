"""Two runs of the same story end in equal snapshots, though nothing in them has the same name."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from fairlead_api import names
from fairlead_chaos import snapshot
from fairlead_chaos.snapshot import Span

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPAN = Span(BEGAN, BEGAN + timedelta(minutes=1))


def run_objects(namespace, number, created="2026-01-01T12:00:05Z", node="node-1", suffix="x7k2p"):
    """A job with its Job and pod, and a Deployment's ReplicaSet with its pod."""

    def uid(digit):
        return f"{number}0000000-0000-4000-8000-00000000000{digit}"

    def head(name, digit, owner=None, **more):
        found = {
            "name": name,
            "namespace": namespace,
            "uid": uid(digit),
            "creationTimestamp": created,
            "resourceVersion": f"{number}{digit}",
            "managedFields": [{"manager": "operator", "time": created}],
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        }
        if owner:
            kind, of, its = owner
            reference = {"kind": kind, "name": of, "uid": uid(its), "controller": True}
            found["ownerReferences"] = [{"apiVersion": "v1"} | reference]
        return found | more

    pod = f"tune-train-a1-0-{suffix}"
    hash_ = f"5d9c8b7f4{number}"
    marks = {names.LABEL_MANAGED_BY: names.MANAGED_BY, "pod-template-hash": hash_}
    job = {
        "apiVersion": names.API_VERSION,
        "kind": "FineTuneJob",
        "metadata": head("tune", 1),
        "status": {
            "message": f"pod {pod} on {node} in {namespace} since {created}",
            "conditions": [{"type": "Trained", "status": "True", "lastTransitionTime": created}],
        },
    }
    return [
        job | {"metadata": {k: v for k, v in job["metadata"].items() if k != "labels"}},
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": head("tune-train-a1", 2, ("FineTuneJob", "tune", 1)),
            "spec": {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid(2)}}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": head(pod, 3, ("Job", "tune-train-a1", 2), generateName="tune-train-a1-0-"),
            "spec": {"nodeName": node, "containers": [{"name": "trainer"}]},
            "status": {"phase": "Succeeded", "podIP": f"10.0.0.{number}"},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": head("chat-abc", 4, ("FineTuneJob", "tune", 1)),
        },
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": head(f"chat-abc-{hash_}", 5, ("Deployment", "chat-abc", 4), labels=marks),
            "spec": {"replicas": 1, "template": {"spec": {}}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": head(
                f"chat-abc-{hash_}-{suffix}",
                6,
                ("ReplicaSet", f"chat-abc-{hash_}", 5),
                generateName=f"chat-abc-{hash_}-",
                labels=marks,
            ),
            "spec": {"nodeName": node},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": head("tls", 7), "data": {"key": node}},
    ]


def taken(namespace, number, **more):
    objects = run_objects(namespace, number, **more)
    return snapshot.of(objects, namespace, ["node-1", "node-2"], SPAN)


def without_versions(found):
    found = copy.deepcopy(found)
    for body in found.values():
        body.get("metadata", {}).pop("resourceVersion", None)
    return found


def test_same_ends_of_two_runs_are_equal():
    one = taken("chaos-1", 1)
    other = taken("chaos-2", 2, created="2026-01-01T12:00:31Z", node="node-2", suffix="zzzzz")
    assert without_versions(one) == without_versions(other)
    assert one != other  # the resourceVersions


def test_objects_are_told_by_names_that_every_run_has():
    assert sorted(taken("chaos-1", 1)) == [
        "Deployment/chat-abc",
        "FineTuneJob/tune",
        "Job/tune-train-a1",
        "Pod/chat-abc~1~1",
        "Pod/tune-train-a1-0~1",
        "ReplicaSet/chat-abc~1",
        "Secret/tls",
    ]


def test_text_keeps_what_it_says_in_words_that_every_run_has():
    said = taken("chaos-1", 1)["FineTuneJob/tune"]["status"]["message"]
    assert said == "pod tune-train-a1-0~1 on <node> in <namespace> since <time>"


SCHEDULER = (
    "0/{} nodes are available: {}. no new claims to deallocate, preemption: 0/{} nodes are"
    " available: {} Preemption is not helpful for scheduling."
)


def test_how_many_nodes_others_have_is_not_told():
    def told(num_nodes, reasons):
        objects = run_objects("chaos-1", 1)
        objects[0]["status"]["message"] = SCHEDULER.format(num_nodes, reasons, num_nodes, num_nodes)
        return snapshot.of(objects, "chaos-1", [], SPAN)["FineTuneJob/tune"]["status"]["message"]

    other, cpu = "node(s) didn't match Pod's node affinity/selector", "Insufficient cpu"
    alone, beside = told(6, f"1 {cpu}, 5 {other}"), told(46, f"12 {other}, 34 {cpu}")
    assert alone == beside
    assert alone == SCHEDULER.format(
        snapshot.NODES,
        f"{snapshot.NODES} {cpu}, {snapshot.NODES} {other}",
        snapshot.NODES,
        snapshot.NODES,
    )
    assert told(6, f"6 {cpu}") != told(6, f"6 {other}")


def test_uids_say_whose_they_are():
    found = taken("chaos-1", 1)
    owner = found["Pod/tune-train-a1-0~1"]["metadata"]["ownerReferences"][0]
    assert owner["uid"] == "<uid Job/tune-train-a1>"
    selector = found["Job/tune-train-a1"]["spec"]["selector"]["matchLabels"]
    assert set(selector.values()) == {"<uid Job/tune-train-a1>"}


def test_of_a_secret_only_what_is_no_secret_is_told():
    found = taken("chaos-1", 1)["Secret/tls"]
    assert found.keys() == {"metadata"}
    assert found["metadata"]["labels"] == {names.LABEL_MANAGED_BY: names.MANAGED_BY}


def test_who_wrote_to_an_object_is_told_in_any_order():
    def written_by(*managers):
        objects = run_objects("chaos-1", 1)
        objects[0]["metadata"]["managedFields"] = [{"manager": one} for one in managers]
        return snapshot.of(objects, "chaos-1", [], SPAN)["FineTuneJob/tune"]["metadata"]

    assert written_by("a", "b")["managers"] == {"a": True, "b": True}
    assert written_by("a", "b", "a") == written_by("b", "a")
    assert "managedFields" not in written_by("a")
    # It writes where a pod found no node at its first try, whatever becomes of the pod.
    assert written_by("a", "kube-scheduler") == written_by("a")


def test_counts_of_what_controllers_happened_to_see_are_not_told():
    objects = run_objects("chaos-1", 1)
    for one in objects:
        one["metadata"]["generation"] = 3
        one["status"] = {"observedGeneration": 3, "collisionCount": 1}
    found = snapshot.of(objects, "chaos-1", [], SPAN)
    assert found["Deployment/chat-abc"]["status"] == {"observedGeneration": 3}
    assert found["Deployment/chat-abc"]["metadata"]["generation"] == 3
    assert "observedGeneration" not in found["ReplicaSet/chat-abc~1"]["status"]
    assert "generation" not in found["ReplicaSet/chat-abc~1"]["metadata"]
    assert objects[3]["status"]["collisionCount"] == 1  # what was read stays as it is


def test_the_whole_spec_of_a_pod_is_told():
    found = taken("chaos-1", 1)["Pod/tune-train-a1-0~1"]
    assert found["spec"] == {"nodeName": "<node>", "containers": [{"name": "trainer"}]}


TIMES = [
    pytest.param("2026-01-01T12:00:30Z", snapshot.TIME, id="during-the-run"),
    pytest.param("2026-01-01T12:00:30.123456Z", snapshot.TIME, id="with-a-fraction"),
    pytest.param("2026-01-01T12:06:00Z", snapshot.TIME, id="a-retry-soon"),
    pytest.param("2025-12-31T12:00:30Z", "2025-12-31T12:00:30Z", id="before-the-run"),
    pytest.param("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", id="far-ahead"),
]


@pytest.mark.parametrize(("text", "written"), TIMES)
def test_only_times_of_the_run_are_written_alike(text, written):
    found = taken("chaos-1", 1, created=text)
    assert found["Job/tune-train-a1"]["metadata"]["creationTimestamp"] == written


def test_child_of_an_owner_that_is_gone_is_told():
    objects = [one for one in run_objects("chaos-1", 1) if one["kind"] != "Job"]
    found = snapshot.of(objects, "chaos-1", [], SPAN)
    assert dict(snapshot.owners_missing(found)) == {
        "Pod/tune-train-a1-0~1": "its owner Job/tune-train-a1 is gone"
    }


def test_object_of_ours_without_owner_is_told():
    objects = run_objects("chaos-1", 1)
    del objects[3]["metadata"]["ownerReferences"]
    found = snapshot.of(objects, "chaos-1", [], SPAN)
    assert dict(snapshot.owners_missing(found)) == {
        "Deployment/chat-abc": "it carries our label and no owner claims it"
    }


def test_whole_family_lacks_no_owner():
    assert list(snapshot.owners_missing(taken("chaos-1", 1))) == []


MOVING = [
    pytest.param(lambda objects: objects.pop(1), True, id="owner-gone"),
    pytest.param(
        lambda objects: objects[2]["metadata"].update(deletionTimestamp="2026-01-01T12:00:09Z"),
        True,
        id="being-deleted",
    ),
    pytest.param(lambda objects: None, False, id="all-there"),
]


@pytest.mark.parametrize(("change", "moves"), MOVING)
def test_objects_on_their_way_out_are_waited_for(change, moves):
    objects = run_objects("chaos-1", 1)
    change(objects)
    assert snapshot.is_moving(objects) is moves


async def test_every_kind_is_read_and_named_though_lists_leave_that_out():
    whole = {"Job": [{"metadata": {"name": "a", "uid": "1"}}]}

    async def items(kind, namespace):
        assert namespace == "chaos-1"
        root = {"metadata": {"name": "kube-root-ca.crt", "uid": "2"}}
        return [root] if kind.kind == "ConfigMap" else whole.get(kind.kind, [])

    found = await snapshot.objects(items, "chaos-1")
    assert [(one["kind"], one["apiVersion"]) for one in found] == [("Job", "batch/v1")]
