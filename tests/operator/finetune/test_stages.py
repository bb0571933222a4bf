"""How ends are counted, and which of them end the job."""

import pytest

from fairlead_api.termination import EXIT_CODES, Cause
from fairlead_operator.finetune.job import failure_rules


@pytest.fixture
def train(new_world):
    """A job whose first Train attempt runs."""

    def make(**spec):
        world = new_world(**spec)
        world.settle()
        world.end_all()
        world.start_pods()
        world.settle()
        return world

    return make


def retry(world):
    world.pass_time(400)
    world.settle()
    world.start_pods()
    world.settle()


@pytest.mark.parametrize(
    ("cause", "failures", "disruptions"),
    [
        (Cause.DIVERGED, 1, 0),
        (Cause.STALLED, 1, 0),
        (Cause.OUT_OF_MEMORY, 1, 0),
        (Cause.STORAGE_FULL, 1, 0),
        (Cause.CRASHED, 1, 0),
        (Cause.UNKNOWN, 1, 0),
        (Cause.DISRUPTED, 0, 1),
        (Cause.PEER_LOST, 0, 1),
        (Cause.FENCED, 0, 1),
    ],
)
def test_end_is_counted_once_and_tried_again(train, cause, failures, disruptions):
    world = train()
    world.end_all(cause)
    world.settle()
    stage = world.stage("Train")
    assert (stage["failures"], stage["disruptions"]) == (failures, disruptions)
    assert (stage["cause"], stage["countedAttempt"], stage["attempt"]) == (cause, 1, 1)
    assert (world.status["phase"], world.status["reason"]) == ("Training", "Retrying")
    retry(world)
    assert world.stage("Train")["attempt"] == 2
    assert "job-train-a2" in world.jobs


@pytest.mark.parametrize(
    "cause",
    [Cause.USER_ERROR, Cause.DATASET_ERROR, Cause.MODEL_ERROR, Cause.ARTIFACT_REFUSED],
)
def test_users_error_ends_the_job_at_once_with_its_message(new_world, cause):
    world = new_world()
    world.settle()
    world.end_all(cause, message="dataset rows, part.jsonl line 7: not JSON")
    failed = world.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", cause)
    assert failed["message"] == "Prepare: dataset rows, part.jsonl line 7: not JSON"
    assert world.status["message"] == failed["message"]
    assert (world.status["phase"], world.status["reason"]) == ("Failed", cause)
    assert world.created == ["job-run", "job-prepare-a1"]


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
def test_failures_end_the_job_after_max_restarts(train, max_restarts):
    world = train(maxRestarts=max_restarts)
    for _ in range(max_restarts):
        world.end_all(Cause.OUT_OF_MEMORY)
        retry(world)
    assert world.condition("Failed") is None
    world.end_all(Cause.OUT_OF_MEMORY)
    failed = world.condition("Failed")
    assert failed["reason"] == "OutOfMemory"
    assert f"{max_restarts + 1} failures; maxRestarts is {max_restarts}" in failed["message"]


def test_restarts_are_granted_to_each_stage_anew(new_world):
    world = new_world(maxRestarts=1)
    world.settle()
    for _ in range(3):
        world.end_all(Cause.CRASHED)
        retry(world)
        world.end_all()
    assert world.condition("Complete")


def test_delay_doubles_up_to_the_cap(train):
    world = train(maxRestarts=9)
    world.now = world.now.replace(microsecond=0)
    delays = []
    for _ in range(8):
        world.end_all(Cause.CRASHED)
        delays.append((world.plan().requeue_at - world.now).total_seconds())
        world.pass_time(delays[-1] - 1)
        world.settle()
        assert world.status["reason"] == "Retrying"
        world.pass_time(1)
        world.settle()
    assert delays == [10, 20, 40, 80, 160, 320, 360, 360]


def disrupt(world, number_of_times, **told):
    for _ in range(number_of_times):
        world.end_all(Cause.DISRUPTED, **told)
        retry(world)


def trained(checkpoint, resumed_from=None):
    result = {"step": 5, "world_size": 1, "checkpoint": checkpoint, "resumed_from": resumed_from}
    return {"training": result}


def test_three_disruptions_without_a_new_checkpoint_are_no_progress(train):
    world = train(maxRestarts=0)
    disrupt(world, 2)
    assert world.condition("Failed") is None
    disrupt(world, 1)
    assert world.condition("Failed")["reason"] == "NoProgress"
    assert "disrupted 3 times without a new checkpoint" in world.status["message"]


def test_disruptions_with_new_checkpoints_go_on_for_ever(train):
    world = train(maxRestarts=0)
    for number in range(8):
        disrupt(world, 1, **trained(f"c/{number}"))
    assert world.condition("Failed") is None
    assert world.stage("Train")["disruptions"] == 8
    assert world.status["checkpoint"]["latest"] == "c/7"


def test_attempt_that_vanished_is_vouched_for_by_the_one_that_resumed_from_it(train):
    world = train(maxRestarts=0)
    disrupt(world, 2)
    disrupt(world, 1, **trained(None, resumed_from="c/3"))
    assert world.condition("Failed") is None
    assert world.status["checkpoint"]["resumedFrom"] == "c/3"
    disrupt(world, 3, **trained(None, resumed_from="c/3"))
    assert world.condition("Failed")["reason"] == "NoProgress"


def test_disruption_resuming_from_the_known_checkpoint_is_no_progress(train):
    world = train(maxRestarts=0)
    disrupt(world, 1, **trained("c/3"))
    disrupt(world, 3, **trained("c/3", resumed_from="c/3"))
    assert world.condition("Failed")["reason"] == "NoProgress"


def test_complete_job_without_its_result_is_run_again_and_not_for_ever(new_world):
    world = new_world()
    world.settle()
    for _ in range(3):
        for pod in world.pods.values():
            if not world.pod_ended(pod):
                world.end_pod(pod, Cause.SUCCEEDED, message="")
        world.settle()
        retry(world)
    assert [name for name in world.created if "prepare" in name] == [
        f"job-prepare-a{number}" for number in (1, 2, 3)
    ]
    assert world.condition("Failed")["reason"] == "NoProgress"
    assert "no pod's termination message has its result" in world.status["message"]


def test_result_that_the_second_run_tells_is_taken(new_world):
    world = new_world()
    world.settle()
    world.end_pod(world.pods["job-prepare-a1-0"], Cause.SUCCEEDED, message="")
    world.settle()
    retry(world)
    world.end_all()
    assert world.stage("Prepare")["state"] == "Succeeded"


def test_job_that_somebody_deleted_is_followed_by_the_next_attempt(train):
    world = train()
    world.delete_job("job-train-a1")
    world.reconcile()
    world.pass_time(10)
    world.reconcile()
    assert world.status["reason"] == "Draining"
    assert "job-train-a2" not in world.jobs
    world.settle()
    assert "job-train-a2" in world.jobs
    stage = world.stage("Train")
    assert (stage["failures"], stage["disruptions"], stage["cause"]) == (0, 1, "JobDeleted")


def delete_job(world):
    world.delete_job(f"job-train-a{world.stage('Train')['attempt']}")
    world.reconcile()


def test_job_that_somebody_deletes_again_and_again_is_no_progress_after_growing_delays(train):
    world = train(maxRestarts=0)
    world.now = world.now.replace(microsecond=0)
    delays = []
    for _ in range(2):
        delete_job(world)
        world.settle()
        delays.append((world.plan().requeue_at - world.now).total_seconds())
        retry(world)
    assert delays == [10, 20]
    assert world.condition("Failed") is None
    delete_job(world)
    failed = world.condition("Failed")
    assert failed["reason"] == "NoProgress"
    assert "last: JobDeleted: the Job of attempt 3 was deleted while it ran" in failed["message"]
    assert world.stage("Train")["failures"] == 0


def test_deletions_between_attempts_that_saved_go_on_for_ever(train):
    world = train(maxRestarts=0)
    for number in range(4):
        delete_job(world)
        retry(world)
        disrupt(world, 1, **trained(f"c/{number}"))
    assert world.condition("Failed") is None


@pytest.mark.parametrize(
    ("cause", "failures", "disruptions", "failed"),
    [
        (Cause.DISRUPTED, 0, 1, False),
        (Cause.OUT_OF_MEMORY, 1, 0, False),
        (Cause.USER_ERROR, 1, 0, True),
    ],
)
def test_attempt_whose_pods_are_gone_is_judged_by_the_rule_that_its_job_names(
    train, cause, failures, disruptions, failed
):
    world = train()
    index = next(
        index
        for index, rule in enumerate(failure_rules())
        if EXIT_CODES[cause] in rule.get("onExitCodes", {}).get("values", [])
    )
    text = f"Pod team/job-train-a1-0 matches FailJob rule at index {index}"
    world.lose_pod("job-train-a1-0", text)
    world.settle()
    stage = world.stage("Train")
    assert (stage["cause"], stage["failures"], stage["disruptions"]) == (
        cause, failures, disruptions,
    )  # fmt: skip
    assert (world.condition("Failed") is not None) is failed


def test_end_is_not_judged_while_our_view_of_the_pods_is_old(train):
    world = train()
    job = world.jobs["job-train-a1"]
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": ""}]}
    world.reconcile()
    assert world.stage("Train")["state"] == "Running"
    world.end_pod(world.pods["job-train-a1-0"], Cause.DATASET_ERROR)
    world.reconcile()
    assert world.condition("Failed")["reason"] == "DatasetError"


def test_pods_of_the_last_attempt_are_kept_for_their_logs(train):
    world = train()
    for number in (1, 2, 3):
        assert f"job-train-a{number}" in world.jobs
        world.end_all(Cause.CRASHED)
        retry(world)
    assert world.deleted == ["job-train-a1", "job-train-a2"]
    assert {"job-train-a3", "job-train-a4"} <= set(world.jobs)


def test_attempt_begins_only_when_pods_of_a_deleted_resource_of_the_name_are_gone(new_world):
    world = new_world()
    world.settle()
    stray = world.pods["job-prepare-a1-0"]
    fresh = new_world()
    fresh.pods["stray"] = stray
    fresh.settle()
    assert fresh.status["reason"] == "Draining"
    fresh.pods.clear()
    fresh.settle()
    assert "job-prepare-a1" in fresh.jobs


def test_long_message_keeps_the_count_of_failures(train):
    world = train(maxRestarts=0)
    world.end_all(Cause.CRASHED, message="x" * 1500)
    assert world.stage("Train")["message"].endswith("(1 failures; maxRestarts is 0)")
