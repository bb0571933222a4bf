"""``fairlead wait``: to the end, through lost connections, with the cause of a failure."""

import pytest

from fairlead_cli import cluster, errors, target, wait

JOB = target.Target("FineTuneJob", "finetunejobs", "demo", "units")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(wait, "PAUSE_SECONDS", 0)


@pytest.fixture
def said():
    return []


def ended(name, code=1, at="2026-01-01T00:00:01Z"):
    state = {"terminated": {"exitCode": code, "finishedAt": at}}
    statuses = [{"name": "trainer", "state": state}]
    return {"metadata": {"name": name}, "status": {"containerStatuses": statuses}}


def test_each_change_is_told_once(course, job, make_condition, said):
    training = job(phase="Training")
    done = job(phase="Complete", conditions=[make_condition("Complete")])
    events = [("MODIFIED", training), ("MODIFIED", training), ("MODIFIED", done)]
    wait.until_done(course(job(phase="Preparing"), events), JOB, 60, said.append)
    assert said == [
        "finetunejob/units: Preparing",
        "finetunejob/units: Training",
        "finetunejob/units: Complete",
    ]


def test_job_that_is_done_already_is_done_at_once(course, job, make_condition, said):
    reader = course(job(phase="Complete", conditions=[make_condition("Complete")]))
    wait.until_done(reader, JOB, 60, said.append)
    assert reader.calls == 1


def test_restart_of_the_api_server_costs_one_line(course, job, make_condition, said):
    lost = cluster.Unreachable("the API server doesn't answer: refused")
    done = job(phase="Complete", conditions=[make_condition("Complete")])
    reader = course(job(phase="Training"), lost, lost, lost, job(phase="Training"), [], done)
    wait.until_done(reader, JOB, 60, said.append)
    assert said == [
        "finetunejob/units: Training",
        "finetunejob/units: the API server doesn't answer: refused; trying again",
        "finetunejob/units: Complete",
    ]


def test_window_that_ends_quietly_is_opened_again(course, job, make_condition, said):
    done = job(phase="Complete", conditions=[make_condition("Complete")])
    wait.until_done(course(job(), [], job(), [], done), JOB, 60, said.append)
    assert said[-1].endswith("Complete")


def test_failure_tells_cause_and_the_failed_pods_last_lines(course, job, make_condition, said):
    failed = job(conditions=[make_condition("Failed", "True", "OutOfMemory", "too big")])
    pods = [ended("units-0"), ended("units-1", code=0), {"metadata": {"name": "new"}}]
    with pytest.raises(errors.CliError) as raised:
        wait.until_done(course(failed, pods=pods), JOB, 60, said.append)
    assert str(raised.value) == (
        "finetunejob/units failed: OutOfMemory: too big\n"
        "--- last lines of pod units-0 ---\n20 lines of trainer"
    )
    assert raised.value.exit_status == 1


def test_deleted_resource_is_said_to_be_deleted(course, job, said):
    with pytest.raises(errors.CliError, match="finetunejob/units was deleted") as raised:
        wait.until_done(course(job(), [("DELETED", job())]), JOB, 60, said.append)
    assert raised.value.exit_status == 1


def other_of_the_name(body):
    return body | {"metadata": body["metadata"] | {"uid": "another"}}


@pytest.mark.parametrize(
    ("later", "said_of_it"),
    [
        pytest.param(cluster.NotFound("gone"), "was deleted", id="gone"),
        pytest.param(other_of_the_name, "was deleted, and another one of its name", id="made-anew"),
    ],
)
def test_deletion_between_two_windows_is_told_like_any(course, job, said, later, said_of_it):
    first = job()
    first["metadata"]["uid"] = "one"
    with pytest.raises(errors.CliError, match=said_of_it) as raised:
        course_ends = later(first) if callable(later) else later
        wait.until_done(course(first, [], course_ends), JOB, 60, said.append)
    assert raised.value.exit_status == 1


def test_time_that_is_over_is_told_with_the_last_state(course, job, said):
    reader = course(*[job(phase="Training"), []] * 6)
    with pytest.raises(errors.TimedOut, match="not done after 60 s; it was: Training"):
        wait.until_done(reader, JOB, 60, said.append, reader.clock)
    assert reader.now == 60


def test_what_does_not_change_is_told_again_each_half_minute(course, job, make_condition, said):
    quiet = [job(phase="Preparing"), []]
    training = [("MODIFIED", job(phase="Training"))]
    done = job(phase="Complete", conditions=[make_condition("Complete")])
    still = [job(phase="Training"), []]
    reader = course(*quiet * 7, job(phase="Preparing"), training, *still * 3, done)
    wait.until_done(reader, JOB, 3600, said.append, reader.clock)
    assert said == [
        "finetunejob/units: Preparing",
        "finetunejob/units: Preparing  (30 s waited)",
        "finetunejob/units: Preparing  (60 s waited)",
        "finetunejob/units: Training",
        "finetunejob/units: Training  (100 s waited)",
        "finetunejob/units: Complete",
    ]


def test_status_of_a_newer_version_is_named(course, job, said):
    with pytest.raises(errors.CliError, match="can't be read by this version"):
        wait.until_done(course(job(phase=["a", "list"])), JOB, 60, said.append)
