"""What kubectl shows of a ModelService in every state."""

import pytest

from fairlead_api.termination import Cause, Termination

REFUSED = Termination(cause=Cause.ARTIFACT_REFUSED, message="weights.bin is a pickle file")
CRASH_LOOP = {
    "status": {
        "containerStatuses": [
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 67, "message": REFUSED.to_message()}},
            }
        ]
    }
}
NO_IMAGE = {
    "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
}


def words(world, *types):
    return {type_: ":".join(world.says(type_)) for type_ in types}


def test_refused_model_is_where_kubectl_looks(make_world):
    world = make_world()
    world.step()
    world.broken[world.status["stable"]] = CRASH_LOOP
    world.settle()
    assert words(world, "Ready", "ModelLoaded", "Available", "Progressing") == {
        "Ready": "False:ArtifactRefused",
        "ModelLoaded": "False:ArtifactRefused",
        "Available": "False:ArtifactRefused",
        "Progressing": "False:ArtifactRefused",
    }
    assert "weights.bin is a pickle file" in world.condition("Ready")["message"]
    assert world.status["phase"] == "Failed"


def test_image_that_cannot_be_pulled_is_told_before_the_deadline_and_after(make_world):
    world = make_world()
    world.step()
    stable = world.status["stable"]
    world.broken[stable] = NO_IMAGE
    world.settle()
    assert words(world, "Ready", "Progressing", "ModelLoaded") == {
        "Ready": "False:ImagePullBackOff",
        "Progressing": "True:RollingOut",
        "ModelLoaded": "Unknown:Pending",
    }
    assert "ImagePullBackOff" in world.condition("Progressing")["message"]


def test_refused_candidate_is_told_while_stable_serves(served):
    served.edit(engine={"maxModelLen": 64})
    served.step()
    served.broken[served.status["candidate"]] = CRASH_LOOP
    served.settle()
    assert words(served, "Ready", "ModelLoaded", "Available", "Progressing") == {
        "Ready": "False:ArtifactRefused",
        "ModelLoaded": "False:ArtifactRefused",
        "Available": "True:ReplicasReady",
        "Progressing": "False:ArtifactRefused",
    }
    assert "weights.bin" in served.condition("Ready")["message"]
    assert "keeps the traffic" in served.condition("Progressing")["message"]
    assert served.status["phase"] == "Degraded"


def test_service_is_ready_while_the_next_model_is_being_loaded(served):
    served.edit(engine={"maxModelLen": 64})
    served.step()
    assert words(served, "Ready", "ModelLoaded", "Progressing") == {
        "Ready": "True:ReplicasReady",
        "ModelLoaded": "True:Resolved",
        "Progressing": "True:RollingOut",
    }


def test_refused_argument_is_named_and_stable_keeps_serving(served):
    stable = served.status["stable"]
    served.edit(engine={"extraArgs": {"trust-remote-code": ""}})
    served.settle()
    assert words(served, "Ready", "Available", "Progressing") == {
        "Ready": "False:ArgumentRefused",
        "Available": "True:ReplicasReady",
        "Progressing": "False:ArgumentRefused",
    }
    assert "extraArgs[trust-remote-code]" in served.condition("Ready")["message"]
    assert served.running() == {stable}
    served.edit(replicas=4)
    served.settle()
    assert served.get("Deployment", f"dates-{stable}")["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("job", "ready", "phase"),
    [
        (None, "False:FineTuneJobNotFound", "Waiting"),
        ({"phase": "Training"}, "False:FineTuneJobNotComplete", "Waiting"),
        ({"phase": "Failed"}, "False:FineTuneJobFailed", "Failed"),
        ({"kind": "Adapter"}, "False:ArtifactIsAdapter", "Failed"),
    ],
    ids=["missing", "training", "failed", "adapter"],
)
def test_service_without_a_model_makes_nothing_and_says_why(
    make_world, make_job, job, ready, phase
):
    world = make_world(model={"fineTuneJobRef": {"name": "teach"}})
    world.job = None if job is None else make_job(**job)
    world.settle()
    assert world.objects == {}
    assert words(world, "Ready", "ModelLoaded") == {"Ready": ready, "ModelLoaded": ready}
    assert world.status["phase"] == phase


@pytest.fixture
def taught(make_world, make_job):
    """A world that serves what the job "teach" made."""
    world = make_world(model={"fineTuneJobRef": {"name": "teach"}})
    world.job = make_job()
    world.roll_out()
    return world


def test_job_that_completes_later_is_served(make_world, make_job):
    world = make_world(model={"fineTuneJobRef": {"name": "teach"}})
    world.settle()
    world.job = make_job()
    world.roll_out()
    assert world.says("Ready") == ("True", "ReplicasReady")
    assert world.status["model"]["fineTuneJobUid"] == "job-uid"
    before = world.status
    world.job = None
    world.settle()
    assert world.status == before


def test_next_jobs_model_is_rolled_out(taught, make_job):
    first = taught.status["stable"]
    taught.job = make_job(uid="second")
    taught.step()
    assert taught.status["candidate"] not in ("", first)
    assert taught.status["model"]["fineTuneJobUid"] == "second"


def test_unfinished_next_job_leaves_the_pin_for_the_way_back(taught, make_job):
    stable = taught.status["stable"]
    taught.edit(model={"fineTuneJobRef": {"name": "next"}})
    taught.job = make_job("next", "next-uid", phase="Training")
    taught.settle()
    assert taught.says("ModelLoaded") == ("False", "FineTuneJobNotComplete")
    assert taught.says("Available") == ("True", "ReplicasReady")
    assert taught.running() == {stable}
    taught.edit(model={"fineTuneJobRef": {"name": "teach"}})
    taught.job = None
    taught.settle()
    assert taught.says("Ready") == ("True", "ReplicasReady")
    assert taught.running() == {stable}


def test_way_back_to_a_deleted_job_leads_over_its_revision(taught):
    first = taught.status["stable"]
    taught.edit(model={"uri": "pvc://models/base"})
    taught.job = None
    taught.roll_out()
    assert taught.status["stable"] != first
    taught.edit(model={"fineTuneJobRef": {"name": "teach"}})
    taught.step()
    assert taught.status["candidate"] == first
    assert taught.status["model"]["fineTuneJobUid"] == "job-uid"


def test_lost_claim_is_told_while_the_pods_still_serve(served):
    served.claims = {"models": None}
    served.settle()
    assert words(served, "Ready", "ModelLoaded", "Available") == {
        "Ready": "False:ClaimNotFound",
        "ModelLoaded": "False:ClaimNotFound",
        "Available": "True:ReplicasReady",
    }


def test_transition_time_moves_with_the_status_only(served):
    since = served.condition("Ready")["lastTransitionTime"]
    served.edit(replicas=3)
    served.step(seconds=60)
    assert served.condition("Ready")["lastTransitionTime"] == since
    assert served.condition("Ready")["observedGeneration"] == 2
    assert served.status["observedGeneration"] == 2
    served.pods.clear()
    served.step(seconds=60)
    assert served.says("Ready") == ("False", "NoReplicasReady")
    assert served.condition("Ready")["lastTransitionTime"] != since


def test_earlier_error_of_ours_is_over_once_a_plan_is_made(served):
    condition = dict(served.condition("Ready"), type="ReconcileError")
    served.status["conditions"].append(condition)
    served.step()
    assert "ReconcileError" not in {each["type"] for each in served.status["conditions"]}
