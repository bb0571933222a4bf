"""The modelled cluster does what Kubernetes does, and time in it is time enough."""

import copy
import json
import re
from datetime import datetime, timedelta

import pytest

from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import GatewayRef, ModelService
from fairlead_model import apiserver, serving_objects, training_objects
from fairlead_model.explore import ORDERS
from fairlead_model.objects import NOW, NOW_TEXT, PAST_TEXT, aged, intern, put, stored
from fairlead_model.scenarios import SCENARIOS
from fairlead_model.state import State, Write
from fairlead_model.training import Facts
from fairlead_operator.finetune.options import Options as TrainingOptions
from fairlead_operator.finetune.plan import plan as plan_training
from fairlead_operator.serving.options import Options as ServingOptions
from fairlead_operator.serving.plan import plan as plan_serving


def child(kind="Service", uid="", **spec):
    versions = {"Deployment": "apps/v1", "Job": "batch/v1"}
    head = {"name": "x", "namespace": "team", "generation": 1} | ({"uid": uid} if uid else {})
    version = versions.get(kind, "v1")
    return stored({"apiVersion": version, "kind": kind, "metadata": head, "spec": spec})


def world(*objects):
    return State(tuple(objects), (), 0, None, False, False, False, Facts(), 0)


# --- the API server --------------------------------------------------------------------------
def test_create_refuses_a_name_that_is_taken():
    there = child(uid="u1")
    answer = apiserver.create(world(there), Write("create", child()))
    assert (answer.says, answer.obj) == ("exists", there)


def test_create_gives_a_uid_that_nobody_holds():
    first = apiserver.create(world(), Write("create", child()))
    remembered = first.state._replace(live=(), cache=first.state.live)
    second = apiserver.create(remembered, Write("create", child()))
    assert first.obj.uid != second.obj.uid


@pytest.mark.parametrize(
    ("standing", "uid", "says"),
    [
        pytest.param(child(uid="u1"), "u1", "ok", id="as seen"),
        pytest.param(child(uid="u2"), "u1", "conflict", id="a successor"),
        pytest.param(None, "u1", "conflict", id="gone"),
        pytest.param(None, "", "ok", id="not seen, not there"),
    ],
)
def test_apply_takes_the_uid_as_precondition(standing, uid, says):
    before = world(standing) if standing else world()
    assert apiserver.apply(before, Write("apply", child(), uid)).says == says


@pytest.mark.parametrize(
    ("standing", "says"),
    [(child(uid="u1"), "ok"), (child(uid="u2"), "conflict"), (None, "not found")],
    ids=["as seen", "a successor", "gone"],
)
def test_delete_takes_the_uid_as_precondition(standing, says):
    before = world(standing) if standing else world()
    answer = apiserver.delete(before, Write("delete", child(), "u1"))
    assert answer.says == says
    assert answer.state.live == (() if says == "ok" else before.live)


def test_apply_leaves_anothers_entries_and_takes_back_our_fields():
    theirs = [{"port": 81, "protocol": "TCP"}, {"port": 80, "protocol": "TCP", "name": "old"}]
    standing = child(uid="u1", ports=theirs, selector={"a": "theirs"}, type="ClusterIP")
    ours = child(ports=[{"port": 80, "protocol": "TCP", "name": "http"}], selector={"a": "ours"})
    made = apiserver.apply(world(standing), Write("apply", ours, "u1")).obj.manifest
    assert made["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "name": "http"}, theirs[0]],
        "selector": {"a": "ours"},
        "type": "ClusterIP",
    }
    assert made["metadata"]["generation"] == 2


def test_apply_that_changes_nothing_is_told_to_nobody():
    standing = child(uid="u1", type="ClusterIP")
    answer = apiserver.apply(world(standing), Write("apply", child(type="ClusterIP"), "u1"))
    assert answer.state == world(standing)


def test_list_without_a_merge_key_is_replaced_whole():
    standing = child("Deployment", "u1", tolerations=[{"key": "theirs"}])
    ours = child("Deployment", tolerations=[{"key": "ours"}])
    made = apiserver.apply(world(standing), Write("apply", ours, "u1")).obj
    assert made.manifest["spec"]["tolerations"] == [{"key": "ours"}]


# --- objects ---------------------------------------------------------------------------------
def test_equal_content_is_one_object():
    one, other = (intern({"kind": "Job", "metadata": {"name": "x"}}) for _ in range(2))
    assert one is other
    assert put((one,), other) == (one,)


def test_aged_object_has_no_young_moment():
    made = apiserver.create(world(), Write("create", child("Job"))).obj
    assert made.manifest["metadata"]["creationTimestamp"] == NOW_TEXT
    old = aged(made)
    assert old.manifest["metadata"]["creationTimestamp"] == PAST_TEXT
    assert aged(old) is old


@pytest.mark.parametrize(
    ("scenario", "read", "plan", "options"),
    [
        pytest.param(
            "train-pods", FineTuneJob, plan_training, TrainingOptions("trainer:1"), id="training"
        ),
        pytest.param(
            "serve-users",
            ModelService,
            plan_serving,
            ServingOptions("server:1", gateway=GatewayRef(name="gateway", namespace="fairlead")),
            id="serving",
        ),
    ],
)
def test_plans_move_with_the_time(scenario, read, plan, options):
    """Why one moment stands for all: a plan only compares moments with now."""
    model = SCENARIOS[scenario].model()
    seen = []

    def noting(resource, observed, now, options):
        seen.append((resource.model_dump(mode="json", by_alias=True), observed))
        return plan(resource, observed, now, options)

    model.domain.planner = noting
    state = model.operator.settled(model.domain.start(0))
    while (step := model.calm_step(state, ORDERS[0])) is not None:
        state = step.state
    assert len(seen) > 5
    for body, observed in seen:
        later = plan(read.read(_shifted(body)), _shifted_children(observed), NOW + DAY, options)
        first = plan(read.read(body), observed, NOW, options)
        assert later.status == _shifted(first.status)
        assert [type(act) for act in later.acts] == [type(act) for act in first.acts]
        assert (later.requeue_at is None) == (first.requeue_at is None)
        if first.requeue_at is not None:
            assert later.requeue_at - first.requeue_at == DAY


DAY = timedelta(days=1)


def _shifted(body):
    """Every moment of a manifest a day later."""

    def later(match):
        moment = datetime.fromisoformat(match[0]) + DAY
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    return json.loads(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", later, json.dumps(body)))


def _shifted_children(observed):
    changed = copy.copy(vars(observed))
    for field, value in changed.items():
        if isinstance(value, tuple):
            changed[field] = tuple(map(_shifted, value))
    return type(observed)(**changed)


# --- controllers -----------------------------------------------------------------------------
def calm_labels(scenario):
    model = SCENARIOS[scenario].model()
    state = model.operator.settled(model.domain.start(0))
    while (step := model.calm_step(state, ORDERS[0])) is not None:
        state = step.state
        yield step.label, state


def test_undisturbed_job_makes_one_job_a_stage_and_completes():
    labels = list(calm_labels("train-pods"))
    created = [label[-1] for label, _ in labels if label[:3] == ("operator", "create", "Job")]
    assert created == ["job-prepare-a1", "job-train-a1", "job-export-a1"]
    job = next(obj for obj in labels[-1][1].live if obj.kind == "FineTuneJob")
    assert training_objects.has(job, "Complete")


def test_undisturbed_service_is_ready_behind_its_gateway():
    _, state = list(calm_labels("serve-users"))[-1]
    deployment = next(obj for obj in state.live if obj.kind == "Deployment")
    assert serving_objects.status_of(deployment)["availableReplicas"] == 2
    assert state.facts.led == deployment.name
