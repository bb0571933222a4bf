"""The way of a job that meets no trouble, and what suspending it does."""

import pytest

from fairlead_api import names
from fairlead_api.termination import Cause
from fairlead_operator.finetune.plan import plan
from fairlead_operator.plan import Delete, Seen


def begin(world):
    world.settle()
    return world


def reach(world, stage):
    """Bring the world to the running first attempt of a stage."""
    begin(world)
    for done in ("Prepare", "Train", "Export"):
        if done == stage:
            world.start_pods()
            world.settle()
            return world
        world.end_all()
    return world


def test_job_runs_its_stages_in_order_and_completes(new_world):
    world = reach(new_world(numNodes=2), "done")
    assert world.created == [
        "job-run", "job-prepare-a1", "job-workers", "job-train-a1", "job-export-a1",
    ]  # fmt: skip
    assert world.condition("Complete")["status"] == "True"
    assert world.status["phase"] == "Succeeded"
    assert world.status["artifact"]["uri"] == "pvc://store/out"
    assert world.status["checkpoint"]["latest"] == "c/9"
    assert world.status["preparedDigest"].startswith("sha256:")


@pytest.mark.parametrize(
    ("stage", "phase", "is_true"),
    [
        ("Prepare", "Preparing", {"Admitted"}),
        ("Train", "Training", {"Admitted", "DataReady", "WorkersReady"}),
        ("Export", "Exporting", {"Admitted", "DataReady", "Trained"}),
        ("done", "Succeeded", {"Admitted", "DataReady", "Trained", "Exported", "Complete"}),
    ],
)
def test_phase_and_conditions_follow_the_stage(new_world, stage, phase, is_true):
    status = reach(new_world(), stage).status
    assert status["phase"] == phase
    assert {c["type"] for c in status["conditions"] if c["status"] == "True"} == is_true


def test_new_job_is_pending(new_world):
    world = new_world()
    world.reconcile()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "Pending")


def test_number_of_an_attempt_is_written_before_its_job_is_made(new_world):
    world = new_world()
    world.reconcile(crash_after=1)
    assert world.stage("Prepare")["attempt"] == 1
    assert world.jobs == {}
    world.reconcile()
    assert list(world.jobs) == ["job-prepare-a1"]


def test_resource_on_its_way_out_gets_no_children(new_world):
    world = new_world()
    world.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    made = world.plan()
    assert (made.status, made.acts) == (None, ())


def test_training_on_one_node_gets_no_service(new_world):
    world = reach(new_world(), "done")
    assert world.created == ["job-run", "job-prepare-a1", "job-train-a1", "job-export-a1"]


def test_service_that_was_deleted_comes_back_while_training(new_world):
    world = reach(new_world(numNodes=2), "Train")
    world.services.clear()
    world.settle()
    assert list(world.services) == ["job-workers"]


@pytest.mark.parametrize(
    ("left", "words"),
    [("jobs", "Job job-prepare-a1, left by"), ("config_maps", "ConfigMap job-run, left by")],
)
def test_job_begins_when_what_an_earlier_one_of_its_name_left_is_collected(new_world, left, words):
    earlier, world = begin(new_world()), new_world()
    setattr(world, left, getattr(earlier, left))
    for manifest in getattr(world, left).values():
        manifest["metadata"]["ownerReferences"][0]["uid"] = "an earlier one's"
    world.reconcile()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", "Draining")
    assert words in world.status["message"]
    assert world.created == world.deleted == []
    getattr(world, left).clear()
    world.settle()
    assert world.created == ["job-run", "job-prepare-a1"]


def test_workers_count_gpus_of_all_nodes(new_world):
    limits = {"limits": {"nvidia.com/gpu": 4}}
    world = reach(new_world(numNodes=3, resourcesPerNode=limits), "Train")
    assert world.status["workers"] == {"desired": 3, "ready": 3, "gpus": 12}


def test_progress_is_left_to_its_own_writer(new_world):
    world = reach(new_world(), "Train")
    world.body["status"]["progress"] = {"step": 7}
    assert "progress" not in world.plan().status


def test_reconcile_error_goes_away_with_the_next_plan(new_world):
    world = reach(new_world(), "Train")
    error = world.condition("Trained") | {"type": "ReconcileError"}
    world.body["status"]["conditions"].append(error)
    world.reconcile()
    assert world.condition("ReconcileError") is None


# --- suspend -------------------------------------------------------------------------------
def test_job_suspended_from_creation_begins_nothing(new_world):
    world = begin(new_world(suspend=True))
    assert (world.created, world.status["phase"]) == ([], "Suspended")
    assert world.condition("Suspended")["status"] == "True"


def test_suspending_deletes_the_job_that_was_seen(new_world):
    world = reach(new_world(), "Train")
    seen = Seen.of(world.jobs["job-train-a1"])
    world.set_suspend(True)
    acts = world.plan().acts
    assert acts == (Delete("batch/v1", "Job", "team", "job-train-a1", seen),)


def test_job_on_its_way_out_is_not_deleted_again(new_world):
    world = reach(new_world(), "Train")
    world.set_suspend(True)
    world.jobs["job-train-a1"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.plan().acts == ()


@pytest.mark.parametrize(
    "label",
    [
        pytest.param({names.LABEL_ATTEMPT: "7"}, id="attempt"),
        pytest.param({names.LABEL_STAGE: "export"}, id="stage"),
        pytest.param({names.LABEL_STAGE: ""}, id="no stage"),
    ],
)
def test_running_job_that_somebody_labels_otherwise_is_left_alone(new_world, label):
    world = reach(new_world(), "Train")
    world.jobs["job-train-a1"]["metadata"]["labels"] |= label
    assert world.plan().acts == ()


def test_suspending_deletes_the_job_that_somebody_labelled_otherwise(new_world):
    world = reach(new_world(), "Train")
    world.jobs["job-train-a1"]["metadata"]["labels"] |= {names.LABEL_STAGE: "other"}
    world.set_suspend(True)
    assert [act.name for act in world.plan().acts] == ["job-train-a1"]


def test_resuming_is_the_next_attempt_and_counts_as_nothing(new_world):
    world = reach(new_world(), "Train")
    world.set_suspend(True)
    world.settle()
    assert (world.status["phase"], list(world.pods)) == ("Suspended", ["job-prepare-a1-0"])
    world.set_suspend(False)
    world.settle()
    train = world.stage("Train")
    assert (train["attempt"], train["failures"], train["disruptions"]) == (2, 0, 0)
    assert "job-train-a2" in world.jobs
    assert world.condition("Suspended")["status"] == "False"


def test_resuming_waits_for_the_last_pod_of_the_suspended_attempt(new_world):
    world = reach(new_world(), "Train")
    world.set_suspend(True)
    world.reconcile()
    world.set_suspend(False)
    world.reconcile()
    assert world.status["reason"] == "Draining"
    assert "job-train-a1-0 on node-1, being deleted, due to end by" in world.status["message"]


def test_stage_that_succeeded_before_it_was_suspended_has_succeeded(new_world):
    world = reach(new_world(), "Train")
    for pod in world.pods.values():
        world.end_pod(pod, Cause.SUCCEEDED)
    world.control()
    world.set_suspend(True)
    world.settle()
    assert world.stage("Train")["state"] == "Succeeded"
    assert world.created[-1] == "job-train-a1"


def test_success_that_suspending_could_not_stop_is_kept(new_world):
    world = reach(new_world(), "Train")
    world.set_suspend(True)
    world.reconcile(crash_after=1)  # the deletion was never sent
    for pod in world.pods.values():
        world.end_pod(pod, Cause.SUCCEEDED)
    world.control()
    world.settle()
    assert world.stage("Train")["state"] == "Succeeded"


def test_failure_that_suspending_could_not_stop_is_not_counted(new_world):
    world = reach(new_world(), "Train")
    world.set_suspend(True)
    world.reconcile(crash_after=1)
    for pod in world.pods.values():
        if not world.pod_ended(pod):
            world.end_pod(pod, Cause.CRASHED)
    world.control()
    world.settle()
    assert (world.stage("Train")["failures"], world.status["phase"]) == (0, "Suspended")


@pytest.mark.parametrize("end", [Cause.SUCCEEDED, Cause.USER_ERROR])
def test_finished_job_stays_finished_when_it_is_suspended(new_world, end):
    world = reach(new_world(), "Export")
    world.end_all(end)
    phase = world.status["phase"]
    world.set_suspend(True)
    world.settle()
    assert world.status["phase"] == phase
    assert world.status["observedGeneration"] == 2


# --- waiting for pods ----------------------------------------------------------------------
def test_start_timeout_tells_the_schedulers_words_and_waits_on(new_world):
    world = new_world(startTimeout="10m")
    world.now = world.now.replace(microsecond=0)
    world.settle()
    world.end_all()
    deadline = world.now.timestamp() + 600
    assert world.plan().requeue_at.timestamp() == deadline
    assert world.condition("WorkersReady")["reason"] == "Pending"
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/5 nodes are available: 5 Insufficient nvidia.com/gpu.",
    }
    world.pods["job-train-a1-0"]["status"]["conditions"] = [unscheduled]
    world.pass_time(600)
    world.settle()
    ready = world.condition("WorkersReady")
    assert (ready["status"], ready["reason"]) == ("False", "WorkersPending")
    assert "0/5 nodes are available" in ready["message"]
    assert "job-train-a1" in world.jobs
    world.end_all()
    assert world.stage("Train")["state"] == "Succeeded"


def crash(world, pod):
    world.end_pod(pod, Cause.CRASHED)


def begin_to_delete(world, pod):
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T15:00:00Z"


def silence_its_node(world, pod):
    (ready,) = pod["status"]["conditions"]
    ready["status"] = "False"


def let_sidecar_fail(world, pod):
    silence_its_node(world, pod)
    sidecar = {"name": "istio-proxy", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    pod["status"]["containerStatuses"].append(sidecar)


@pytest.mark.parametrize(
    ("befall", "reason", "words"),
    [
        pytest.param(
            crash,
            "Draining",
            "attempt 1 ends: pod job-train-a1-0 failed; waiting for the end of pod job-train-a1-1",
            id="one-crashed-and-the-other-drains",
        ),
        pytest.param(
            begin_to_delete,
            "Draining",
            "job-train-a1-0 on node-1, being deleted, due to end by 2026-01-01T15:00:00Z",
            id="evicted",
        ),
        pytest.param(
            silence_its_node,
            "WorkersNotReady",
            "pod job-train-a1-0 on node-1 has begun and is not ready",
            id="node-not-ready",
        ),
        pytest.param(let_sidecar_fail, "WorkersNotReady", "job-train-a1-0", id="sidecar"),
    ],
)
@pytest.mark.parametrize("hours", [0, 3])
def test_workers_that_ran_are_never_said_to_wait_for_room(new_world, hours, befall, reason, words):
    world = reach(new_world(numNodes=2), "Train")
    world.pass_time(hours * 3600)
    befall(world, world.pods["job-train-a1-0"])
    world.reconcile()
    ready = world.condition("WorkersReady")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert words in ready["message"]
    assert world.status["reason"] == reason


def test_worker_whose_pod_is_about_to_succeed_counts_as_well(new_world):
    world = reach(new_world(numNodes=2), "Train")
    pod = world.pods["job-train-a1-0"]
    silence_its_node(world, pod)
    (container,) = pod["status"]["containerStatuses"]
    container["state"] = {"terminated": {"exitCode": 0, "message": ""}}
    world.reconcile()
    ready = world.condition("WorkersReady")
    assert (ready["status"], ready["reason"]) == ("True", "Running")


def test_workers_that_their_queue_takes_back_wait_for_it_again(new_world):
    """Kueue suspends a Job that it preempts; its pods end and are made anew later."""
    world = reach(new_world(numNodes=2), "Train")
    world.pass_time(3600)
    world.jobs["job-train-a1"]["spec"]["suspend"] = True
    for pod in world.pods_of(world.jobs["job-train-a1"]):
        begin_to_delete(world, pod)
    world.reconcile()
    ready = world.condition("WorkersReady")
    assert (ready["reason"], ready["status"]) == ("WorkersPending", "False")
    assert "suspended: it waits in a queue" in ready["message"]


def test_one_worker_that_began_does_not_stop_the_start_timeout(new_world):
    world = new_world(numNodes=2, startTimeout="10m")
    world.settle()
    world.end_all()
    waits = world.pods.pop("job-train-a1-1")
    world.start_pods()
    world.pods["job-train-a1-1"] = waits
    world.pass_time(601)
    world.reconcile()
    assert world.condition("WorkersReady")["reason"] == "WorkersPending"


def test_job_ends_before_startup_is_over_without_being_lost(new_world):
    """A pod that ran too shortly to be seen running is no pending worker."""
    world = reach(new_world(), "Prepare")
    world.end_all()
    assert world.stage("Prepare")["state"] == "Succeeded"


def test_plan_is_a_function_of_its_arguments(new_world):
    world = reach(new_world(numNodes=2), "Train")
    first = plan(world.job, world.observe(), world.now, world.options)
    assert plan(world.job, world.observe(), world.now, world.options) == first
