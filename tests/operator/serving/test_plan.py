"""A ModelService's life: first revision, rollouts, rollbacks, failures."""

import dataclasses
from datetime import timedelta

import pytest

from fairlead_api import names
from fairlead_operator.plan import LOOK_AGAIN, Apply, CreateOnce, Delete, Plan

NEW = {"engine": {"maxModelLen": 64}}
NEWER = {"engine": {"maxModelLen": 128}}


def roll(world, **spec):
    """Edit and plan once; the new candidate's name."""
    world.edit(**spec)
    world.step()
    return world.status["candidate"]


def test_first_revision_is_stable_as_soon_as_it_is_created(make_world):
    world = make_world(replicas=2)
    found = world.step()
    stable = world.status["stable"]
    kinds = [type(act).__name__ + " " + act.manifest["kind"] for act in found.acts]
    assert kinds == [
        "CreateOnce ControllerRevision",
        "Apply Deployment",
        "Apply Service",
        "Apply Service",
        "Apply HTTPRoute",
    ]
    assert world.selected() == stable
    assert world.backend() == f"dates-{stable}"
    assert world.get("Deployment", f"dates-{stable}")["spec"]["replicas"] == 2
    assert world.says("Ready") == ("False", "NoReplicasReady")
    assert world.says("Progressing") == ("True", "RollingOut")
    assert world.status["phase"] == "Loading"


def test_serving_service_is_ready_and_says_where(served):
    assert served.says("Ready") == ("True", "ReplicasReady")
    assert served.says("ModelLoaded") == ("True", "Resolved")
    assert served.says("RouteReady") == ("True", "Accepted")
    assert served.says("Progressing") == ("False", "RolledOut")
    assert served.status["url"] == "http://dates.team.example.org"
    assert served.status["readyReplicas"] == served.status["replicas"] == 2
    assert served.status["selector"] == f"{names.LABEL_MODELSERVICE}=dates"
    assert served.status["phase"] == "Ready"


def test_claim_that_is_missing_is_looked_for_again(make_world):
    world = make_world()
    claims, world.claims = world.claims, {"models": None}
    assert world.step().requeue_at == world.now + LOOK_AGAIN
    world.claims = claims
    world.roll_out()
    assert world.says("Ready") == ("True", "ReplicasReady")


def test_gateway_that_is_missing_is_looked_for_again(served):
    """Nobody tells of Gateways: their port stands in the url, their route needs no other answer."""
    served.gateways.clear()
    assert served.step().requeue_at == served.now + LOOK_AGAIN
    served.gateways["fairlead/gateway"] = {"spec": {"listeners": []}}
    served.step()  # before the Gateway has answered
    assert served.step().requeue_at is None


def test_gateway_that_does_not_answer_is_looked_for_again(served):
    """It may be gone, and what is remembered of it is older than its silence."""
    served.gateways_answer = False
    served.get("HTTPRoute", "dates")["status"]["parents"].clear()
    assert served.step().requeue_at == served.now + LOOK_AGAIN
    assert served.says("RouteReady") == ("Unknown", "Pending")
    served.gateways["fairlead/gateway"] = None
    served.step()
    assert served.says("RouteReady") == ("False", "NotAccepted")


def test_gateway_that_does_not_answer_is_looked_for_beside_one_that_refuses(served):
    """What it led to before keeps its pods as long as that one may send there."""
    served.edit(gatewayRefs=[{"name": "a", "namespace": "x"}, {"name": "b", "namespace": "x"}])
    served.gateways |= {name: {"spec": {"listeners": []}} for name in ("x/a", "x/b")}
    served.step()
    served.gateways_answer = False
    found = served.get("HTTPRoute", "dates")
    refusing, _ = found["status"]["parents"]
    refusing["conditions"] = [
        condition | {"status": "False", "reason": "NotAllowedByListeners"}
        for condition in refusing["conditions"]
    ]
    found["status"]["parents"] = [refusing]
    assert served.step().requeue_at == served.now + LOOK_AGAIN
    assert served.says("RouteReady") == ("False", "NotAccepted")


def test_gateway_is_not_asked_for_an_answer_before_there_is_a_route(make_world):
    world = make_world(model={"fineTuneJobRef": {"name": "teach"}})
    world.step()
    assert world.says("RouteReady") == ("Unknown", "Pending")
    assert world.plan().requeue_at is None


def test_settled_service_is_planned_the_same_again(served):
    served.now += timedelta(days=1)
    found = served.plan()
    assert found.status == served.status
    assert found.requeue_at is None
    assert found.acts == ()


def test_candidate_gets_pods_but_no_traffic_before_all_of_them_are_ready(served):
    old = served.status["stable"]
    new = roll(served, **NEW)
    assert served.running() == {old, new}
    served.make_ready(new, ready=1)
    served.settle()
    assert (served.selected(), served.backend()) == (old, f"dates-{old}")
    assert served.says("Progressing") == ("True", "RollingOut")
    assert "1 of 2 replicas ready" in served.condition("Progressing")["message"]
    assert served.says("Ready") == ("True", "ReplicasReady")
    assert served.status["phase"] == "RollingOut"


def test_traffic_moves_when_the_candidate_is_ready_and_the_old_pods_go_later(served):
    old = served.status["stable"]
    new = roll(served, **NEW)
    served.make_ready(new)
    served.step()
    assert served.status["stable"] == new
    assert "candidate" not in served.status or served.status["candidate"] == ""
    assert (served.selected(), served.backend()) == (new, f"dates-{new}")
    found = served.step()  # sees where the traffic goes
    assert served.running() == {old, new}
    assert found.requeue_at == served.now + timedelta(seconds=served.options.retire_seconds)
    served.step(seconds=served.options.retire_seconds - 1)
    assert served.running() == {old, new}
    served.step(seconds=1)
    assert served.running() == {new}
    assert served.named("Service") == ["dates", f"dates-{new}"]
    assert served.named("ControllerRevision") == sorted([f"dates-{old}", f"dates-{new}"])


@pytest.mark.parametrize(
    ("gateway_refs", "acts"),
    [(None, 0), (None, 1), ([], 0)],
    ids=["before any act", "after the Service's", "no route, before any act"],
)
def test_old_pods_stay_while_service_or_route_still_lead_to_them(served, gateway_refs, acts):
    served.edit(gatewayRefs=gateway_refs)
    served.settle()
    old = served.status["stable"]
    new = roll(served, **NEW)
    served.make_ready(new)
    served.step(crash_after=acts)  # the fact is written, but traffic is not yet where it says
    assert served.status["stable"] == new
    assert old in (served.selected(), (served.backend() or "").removeprefix("dates-"))
    found = served.step(seconds=3600)
    assert not any(isinstance(act, Delete) for act in found.acts)
    assert served.running() == {old, new}
    assert served.selected() == new
    served.step()  # the switch is seen now, however long ago it was decided
    served.step(seconds=served.options.retire_seconds - 1)
    assert served.running() == {old, new}
    served.step(seconds=1)
    assert served.running() == {new}


def switched(world, *, gateways_answer):
    """A world whose route leads to a new revision; that and the one before."""
    old, new = world.status["stable"], roll(world, **NEW)
    world.make_ready(new)
    world.gateways_answer = gateways_answer
    world.step()
    assert world.backend() == f"dates-{new}"
    return old, new


def test_old_pods_stay_until_every_gateway_has_taken_in_the_new_route(served):
    old, new = switched(served, gateways_answer=False)
    served.step(seconds=3600)
    assert served.says("RouteReady") == ("Unknown", "Pending")
    assert served.running() == {old, new}
    assert "stableTime" not in served.status
    served.take_in_routes()
    found = served.step()
    assert found.requeue_at == served.now + timedelta(seconds=served.options.retire_seconds)
    served.settle()
    assert served.running() == {new}


@pytest.mark.parametrize("there", [True, False], ids=["refuses the route", "is gone"])
def test_gateway_that_sends_nothing_holds_no_old_pods(served, there):
    _, new = switched(served, gateways_answer=False)
    if there:
        served.take_in_routes()
        (answer,) = served.get("HTTPRoute", "dates")["status"]["parents"]
        answer["conditions"][0].update(status="False", reason="NotAllowedByListeners")
    else:
        served.gateways.clear()
    served.settle()
    assert served.says("RouteReady") == ("False", "NotAccepted")
    assert served.running() == {new}


def test_old_pods_stay_while_a_route_out_of_reach_leads_to_them(served):
    old = served.status["stable"]
    new = roll(served, **NEW)
    served.make_ready(new)
    served.has_gateway_api = False  # as an API server says that is just being upgraded
    served.settle()
    served.step(seconds=3600)
    assert (served.selected(), served.backend()) == (new, f"dates-{old}")
    assert served.running() == {old, new}
    served.has_gateway_api = True
    served.settle()
    assert served.running() == {new}


def test_newer_spec_replaces_the_candidate(served):
    old = served.status["stable"]
    served.now += timedelta(hours=1)
    first = roll(served, **NEW)
    second = roll(served, **NEWER)
    assert second not in (first, old)
    served.settle()
    assert served.running() == {old, second}


def test_rollback_to_stable_drops_the_candidate_at_once(served):
    old = served.status["stable"]
    served.now += timedelta(hours=1)
    roll(served, **NEW)
    served.edit(engine={})
    found = served.step()
    assert served.running() == {old}
    assert [type(act) for act in found.acts].count(Delete) == 2
    assert served.status.get("candidate", "") == ""
    assert served.says("Progressing") == ("False", "RolledOut")


def test_rollback_to_an_old_revision_uses_its_record(served):
    first = served.status["stable"]
    roll(served, **NEW)
    served.make_ready()
    served.settle()
    assert served.status["stable"] != first
    served.edit(engine={})
    found = served.step()
    assert served.status["candidate"] == first
    assert not any(isinstance(act, CreateOnce) for act in found.acts)


@pytest.mark.parametrize("seen", [True, False], ids=["its pods crash", "nothing came of it"])
def test_revision_that_never_served_makes_room_at_once(make_world, seen):
    world = make_world()
    world.step()
    broken = world.status["stable"]
    if not seen:
        del world.objects["Deployment", f"dates-{broken}"]
    world.edit(**NEW)
    world.step()
    assert world.status["stable"] != broken
    world.settle()
    assert world.running() == {world.status["stable"]}


@pytest.mark.parametrize("has_served", [True, False], ids=["has served", "never served"])
def test_newer_image_reaches_only_services_that_never_served(make_world, options, has_served):
    world = make_world()
    world.step()
    before = world.status["stable"]
    if has_served:
        world.make_ready()
        world.settle()
    world.options = dataclasses.replace(options, image="newer")
    world.settle()
    assert (world.status["stable"] == before) is has_served
    assert len(world.running()) == 1


def test_stable_that_lost_its_pods_yields_to_a_candidate_that_answers(served):
    old = served.status["stable"]
    new = roll(served, **NEW)
    served.pods[old] = 0
    served.step()
    assert served.selected() == old  # it may come back, and the candidate can't answer either
    served.make_ready(new, ready=1)
    served.step()
    assert served.selected() == new


@pytest.mark.parametrize("first", ["rollout", "deletion"])
def test_stable_whose_deployment_was_deleted_comes_back_with_the_traffic(served, first):
    old = served.status["stable"]
    served.edit(**NEW)
    if first == "rollout":
        served.step()
    del served.objects["Deployment", f"dates-{old}"]
    served.pods[old] = 0  # its successors are not ready yet, and the candidate never is
    served.settle()
    new = served.status["candidate"]
    assert (served.selected(), served.backend()) == (old, f"dates-{old}")
    assert served.running() == {old, new}
    served.make_ready(old)
    served.settle()
    assert served.says("Ready") == ("True", "ReplicasReady")
    assert served.selected() == old


def test_failed_candidate_leaves_stable_alone_and_says_why(served):
    old = served.status["stable"]
    new = roll(served, **NEW)
    served.broken[new] = "overdue"
    served.settle()
    assert served.says("Progressing") == ("False", "ProgressDeadlineExceeded")
    assert f"revision {old} keeps the traffic" in served.condition("Progressing")["message"]
    assert served.says("Ready") == ("True", "ReplicasReady")
    assert served.selected() == old
    served.broken.clear()
    served.make_ready(new)
    served.settle()
    assert served.selected() == new


def test_scaling_changes_every_deployment_and_no_revision(served):
    stable = served.status["stable"]
    new = roll(served, **NEW)
    served.edit(replicas=5)
    served.step()
    for revision in (stable, new):
        assert served.get("Deployment", f"dates-{revision}")["spec"]["replicas"] == 5
    assert served.status["stable"] == stable
    assert len(served.named("ControllerRevision")) == 2


def test_candidate_that_was_ready_at_a_smaller_size_waits_for_the_rest(served):
    stable = served.status["stable"]
    new = roll(served, **NEW)
    served.make_ready(new)
    served.edit(replicas=5)
    served.step()
    assert served.status["stable"] == stable


def test_scaled_to_zero_keeps_its_route(served):
    served.edit(replicas=0)
    served.settle()
    stable = served.status["stable"]
    assert served.says("Ready") == ("False", "ScaledToZero")
    assert served.says("Available") == ("False", "ScaledToZero")
    assert served.status["phase"] == "ScaledToZero"
    assert served.backend() == f"dates-{stable}"


def test_new_revision_of_a_service_at_zero_is_stable_at_once(served):
    served.edit(replicas=0)
    served.settle()
    old = served.status["stable"]
    served.edit(**NEW)
    served.settle()
    assert served.status["stable"] != old
    assert served.running() == {served.status["stable"]}


def test_old_records_are_forgotten_but_for_the_newest(served):
    for length in range(100, 107):
        roll(served, engine={"maxModelLen": length})
        served.make_ready()
        served.settle()
    numbers = [
        served.get("ControllerRevision", name)["revision"]
        for name in served.named("ControllerRevision")
    ]
    assert sorted(numbers) == [5, 6, 7, 8]  # stable and three before it


def test_stable_whose_record_is_gone_keeps_serving(served):
    stable = served.status["stable"]
    before = served.get("Deployment", f"dates-{stable}")
    del served.objects["ControllerRevision", f"dates-{stable}"]
    new = roll(served, **NEW)
    assert served.get("Deployment", f"dates-{stable}") == before
    assert served.selected() == stable
    served.make_ready(new)
    served.settle()
    assert served.selected() == new


def test_deleted_service_is_left_to_garbage_collection(served):
    served.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert served.plan() == Plan()


def test_children_of_others_are_not_taken_for_ours(served):
    for each in served.objects.values():
        each["metadata"]["ownerReferences"][0]["uid"] = "another"
    found = served.plan()
    assert not any(isinstance(act, Delete) for act in found.acts)
    assert all(act.seen is None for act in found.acts if isinstance(act, Apply))
