"""What a waiter makes of a status."""

import pytest

from fairlead_api import outcome, termination
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService

PROGRESS = {"step": 20, "totalSteps": 150, "loss": 1.23456, "eta": "1m30s"}


def test_job_that_nobody_saw_yet_is_waited_for(job):
    assert outcome.of_finetunejob(FineTuneJob.read(job())) == outcome.Waiting(
        "not seen by the operator yet"
    )


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (PROGRESS, "Training  STEP 20/150  LOSS 1.235  ETA 1m30s  (Running)"),
        ({"step": 0, "totalSteps": 0}, "Training  (Running)"),
        ({"step": 1, "totalSteps": 150}, "Training  STEP 1/150  (Running)"),
        (None, "Training  (Running)"),
    ],
    ids=["all figures", "not begun", "no loss yet", "no report"],
)
def test_line_shows_how_far_training_is(job, progress, line):
    body = job(phase="Training", reason="Running", progress=progress)
    assert outcome.of_finetunejob(FineTuneJob.read(body)) == outcome.Waiting(line)


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("Running", "Pending  (Running)"),
        ("ClaimNotFound", "Pending  (ClaimNotFound)  claim dmeo doesn't exist; create it"),
    ],
)
def test_line_says_what_is_waited_for(job, reason, line):
    body = job(phase="Pending", reason=reason, message="claim dmeo doesn't exist; create it")
    assert outcome.of_finetunejob(FineTuneJob.read(body)) == outcome.Waiting(line)


def test_progress_of_a_training_that_is_over_is_not_shown(job, make_condition):
    body = job(phase="Exporting", progress=PROGRESS, conditions=[make_condition("Trained")])
    assert outcome.of_finetunejob(FineTuneJob.read(body)) == outcome.Waiting("Exporting")


def test_complete_job_names_its_artifact(job, make_condition):
    artifact = {
        "uri": "pvc://models/a",
        "digest": f"sha256:{'0' * 64}",
        "sizeBytes": 1,
        "kind": "Model",
        "baseModel": "pvc://models/base",
        "datasetDigest": "",
    }
    body = job(phase="Complete", artifact=artifact, conditions=[make_condition("Complete")])
    expected = outcome.Succeeded("Complete, pvc://models/a")
    assert outcome.of_finetunejob(FineTuneJob.read(body)) == expected


def test_failed_job_gives_reason_and_message(job, make_condition):
    body = job(conditions=[make_condition("Failed", "True", "DatasetError", "rows:3: no JSON")])
    expected = outcome.Failed("DatasetError", "rows:3: no JSON")
    assert outcome.of_finetunejob(FineTuneJob.read(body)) == expected


def read(body):
    return outcome.of_modelservice(ModelService.read(body))


def test_service_is_reached_when_it_is_ready(service, make_condition):
    body = service(url="http://u.demo.local", conditions=[make_condition("Ready")])
    assert read(body) == outcome.Succeeded("Ready, http://u.demo.local")


@pytest.mark.parametrize(
    ("generation", "conditions", "line"),
    [
        (2, [("Ready", "True", "ReplicasReady")], "the operator has not seen this version yet"),
        (1, [], "not ready  0/1 pods"),
        (1, [("Ready", "False", "NoReplicasReady")], "not ready  0/1 pods  (NoReplicasReady)"),
        (
            1,
            [("Ready", "False", "FineTuneJobNotFound", "there is no finetunejob/untis")],
            "not ready  0/1 pods  (FineTuneJobNotFound)  there is no finetunejob/untis",
        ),
        (
            1,
            [("Ready", "True", "ReplicasReady"), ("Progressing", "True", "RollingOut")],
            "not ready  0/1 pods  (ReplicasReady)",
        ),
        (
            1,
            [("ModelLoaded", "False", "FineTuneJobNotComplete"), ("Ready", "False", "X")],
            "not ready  0/1 pods  (X)",
        ),
        (
            1,
            [("Ready", "False", "ModelError"), ("Progressing", "True", "RollingOut")],
            "not ready  0/1 pods  (ModelError)",
        ),
    ],
    ids=[
        "older version ready",
        "new",
        "starting",
        "what lacks",
        "rolling out",
        "job still training",
        "newer revision mends a broken one",
    ],
)
def test_service_is_waited_for(service, make_condition, generation, conditions, line):
    body = service(generation, conditions=[make_condition(*each) for each in conditions])
    assert read(body) == outcome.Waiting(line)


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("ModelLoaded", "FineTuneJobFailed"),
        ("ModelLoaded", "ArtifactRefused"),
        ("ModelLoaded", "ArtifactIsAdapter"),
        ("ModelLoaded", "ArgumentRefused"),
        ("ModelLoaded", "FineTuneJobUnreadable"),
        ("Progressing", "ProgressDeadlineExceeded"),
        *(("Progressing", str(cause)) for cause in sorted(termination.USER_CAUSES)),
    ],
)
def test_service_that_waiting_does_not_mend_fails(service, make_condition, type_, reason):
    body = service(conditions=[make_condition(type_, "False", reason, "why")])
    assert read(body) == outcome.Failed(reason, "why")


@pytest.mark.parametrize("reason", ["ArtifactRefused", "ModelError", "ProgressDeadlineExceeded"])
def test_candidate_that_failed_is_no_success_of_the_stable_that_serves_on(
    service, make_condition, reason
):
    conditions = [
        make_condition("Ready", "True", "ReplicasReady"),
        make_condition("Progressing", "False", reason, "revision b: why; revision a serves on"),
    ]
    body = service(conditions=conditions)
    assert read(body) == outcome.Failed(reason, "revision b: why; revision a serves on")


def ended(name, code=1, at="2026-01-01T00:00:01Z"):
    state = {"terminated": {"exitCode": code, "finishedAt": at}}
    statuses = [{"name": "trainer", "state": state}]
    return {"metadata": {"name": name}, "status": {"containerStatuses": statuses}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], []),
        ([ended("a", code=0)], []),
        ([ended("old", at="1"), ended("new", at="2")], ["new", "old"]),
        ([ended(str(n), at=str(n)) for n in range(5)], ["4", "3", "2"]),
    ],
    ids=["none", "ended well", "newest first", "three at most"],
)
def test_failed_containers_are_chosen(pods, expected):
    assert [pod for pod, _ in outcome.failed_containers(pods)] == expected


def test_container_that_restarted_is_found_by_its_last_end():
    status = {
        "name": "server",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 67, "finishedAt": "1"}},
    }
    pod = {"metadata": {"name": "p"}, "status": {"containerStatuses": [status]}}
    assert outcome.failed_containers([pod]) == [("p", "server")]
