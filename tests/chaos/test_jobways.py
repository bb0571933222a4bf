"""The ways of FineTuneJobs, where each may lead, and what is wrong with where one led."""

import copy
from collections import Counter

import pytest

from fairlead_api.finetunejob import FineTuneJobSpec
from fairlead_chaos import fates, jobpictures, jobways, places
from fairlead_chaos.jobways import NONE, OFF, ON, End
from fairlead_chaos.transitions import Way

WAYS = list(jobways.ways())
TRAINING = "training"


def test_ways_are_so_many_and_each_is_named_once():
    assert len(WAYS) == 144
    assert max(Counter(way.name for way in WAYS).values()) == 1


@pytest.mark.parametrize("stop", jobways.STOPS)
def test_each_value_is_changed_to_each_other_and_back_at_every_stop(stop):
    mine = [way for way in WAYS if way.context == stop]
    pairs = {way.states for way in mine if len(way.states) == 2}
    assert pairs == {(a, b) for a in jobways.STATES for b in jobways.STATES if a != b}
    there_and_back = {
        *((a, ON, b) for a in (NONE, OFF) for b in (NONE, OFF)), *((ON, a, ON) for a in (NONE, OFF))
    }  # fmt: skip
    for hurried in (False, True):
        triples = [w.states for w in mine if len(w.states) == 3 and w.hurried is hurried]
        assert set(triples) == there_and_back


@pytest.mark.parametrize("stop", jobways.STOPS)
@pytest.mark.parametrize("state", jobways.STATES, ids=lambda state: state.title)
def test_spec_of_every_state_can_be_read(state, stop):
    spec = FineTuneJobSpec.model_validate(jobways.spec(state, stop))
    assert spec.suspend is (state is ON)


def test_no_pod_of_any_place_has_two_fates():
    assert fates.stages(places.FATES)


LEADS = [
    pytest.param(TRAINING, (OFF, ON), False, {End.SUSPENDED}, id="suspended"),
    pytest.param(TRAINING, (ON, OFF), False, {End.AS_MADE}, id="made-suspended"),
    pytest.param(TRAINING, (NONE, OFF), False, {End.AS_MADE}, id="no-change"),
    pytest.param(TRAINING, (OFF, ON, NONE), False, {End.COMPLETE}, id="resumed"),
    pytest.param(
        TRAINING, (OFF, ON, OFF), True, {End.COMPLETE, End.AS_MADE}, id="the-middle-may-be-missed"
    ),
    pytest.param(TRAINING, (ON, OFF, ON), True, {End.SUSPENDED}, id="suspended-all-along"),
    pytest.param("refused", (OFF, ON, OFF), False, {End.AS_MADE}, id="refused-again"),
    pytest.param("retrying", (OFF, ON, OFF), False, {End.AS_MADE}, id="tried-again"),
    pytest.param("failed", (OFF, ON), False, {End.AS_MADE}, id="failed-for-good"),
    pytest.param("complete", (ON, OFF, ON), False, {End.AS_MADE}, id="complete-for-good"),
    pytest.param("complete", (ON, OFF, ON), True, {End.SUSPENDED}, id="never-begun"),
]


@pytest.mark.parametrize(("stop", "states", "hurried", "ends"), LEADS)
def test_where_a_way_may_lead(stop, states, hurried, ends):
    assert jobways.possible_ends(Way(states, stop, hurried)) == ends


def test_ways_are_walked_by_place_after_the_job_that_they_need():
    walked = list(places.batches(WAYS, 12))
    assert walked[0] == [jobways.BASIS]
    assert sorted(way.name for batch in walked[1:] for way in batch) == sorted(
        way.name for way in WAYS
    )
    assert max(map(len, walked)) == 12
    assert all(len({way.context for way in batch}) == 1 for batch in walked)
    alone = [Way((OFF, ON), TRAINING)]
    assert list(places.batches(alone, 12)) == [alone]


CONDITIONS = {
    "going": {"Trained": ("False", "Running")},
    "held": {"Suspended": ("True", "Suspended"), "Trained": ("False", "Suspended")},
    "resumed": {"Suspended": ("False", "Resumed"), "Trained": ("False", "Running")},
    "done": {"Complete": ("True", "Succeeded")},
    "done-later": {"Suspended": ("False", "Resumed"), "Complete": ("True", "Succeeded")},
}
WORDS = {
    "going": ("Training", "Running"),
    "held": ("Suspended", "Suspended"),
    "done": ("Succeeded", "Succeeded"),
}


def job(said, *, suspend, attempt=1, name="units", **status):
    phase, reason = WORDS[{"resumed": "going", "done-later": "done"}.get(said, said)]
    conditions = [
        {"type": type_, "status": value, "reason": reason, "message": ""}
        for type_, (value, reason) in CONDITIONS[said].items()
    ]
    stage = {"name": "Train", "attempt": attempt, "state": "Running", "startTime": str(attempt)}
    head = {"name": name, "namespace": "team", "uid": f"uid-of-{name}", "generation": 1}
    status = {"phase": phase, "reason": reason, "conditions": conditions, **status}
    spec = {"storage": {"claimName": "work"}, "suspend": suspend}
    return {"metadata": head, "spec": spec, "status": status | {"stages": [stage]}}


def child(kind, name, **body):
    return {"kind": kind, "metadata": {"name": name}, **body}


def batch_job(name="units", attempt=1, outcome=None, suspend=False):
    conditions = [{"type": outcome, "status": "True"}] if outcome else []
    spec = {"suspend": suspend, "template": {"spec": {"containers": []}}}
    name = f"{name}-train-a{attempt}"
    return child("Job", name, spec=spec, status={"conditions": conditions})


def pod(name="units", phase="Running"):
    made = child("Pod", f"{name}-train-a1-0-abcde", status={"phase": phase})
    made["metadata"]["generateName"] = f"{name}-train-a1-0-"
    return made


def run_file(text="the spec"):
    return child("ConfigMap", "units-run", data={"run.json": text, "ca.crt": "of the operator"})


def picture(found, *children):
    return jobpictures.picture(found, children)


KNOWN = {
    jobways.made(OFF, TRAINING).name: picture(
        job("going", suspend=False, name="dates"), batch_job("dates"), pod("dates")
    ),
    jobways.made(NONE, TRAINING).name: picture(job("going", suspend=False), batch_job(), pod()),
    jobways.made(ON, TRAINING).name: picture(job("held", suspend=True, attempt=0)),
    jobways.BASIS.name: picture(
        job("done", suspend=False), batch_job(outcome="Complete"), run_file()
    ),
}
HELD, AGAIN, RESUMED = (
    Way((OFF, ON), TRAINING),
    Way((ON, OFF), TRAINING),
    Way((OFF, ON, OFF), TRAINING),
)
HURRIED = Way((OFF, ON, OFF), TRAINING, hurried=True)
RIGHT = [
    pytest.param(HELD, picture(job("held", suspend=True)), id="held"),
    pytest.param(HELD, picture(job("held", suspend=True), pod(phase="Failed")), id="pod-has-ended"),
    pytest.param(AGAIN, picture(job("resumed", suspend=False), batch_job(), pod()), id="as-made"),
    pytest.param(
        RESUMED,
        picture(
            job("done-later", suspend=False, attempt=2), batch_job(attempt=2, outcome="Complete"),
            run_file(),
        ),
        id="complete-by-a-later-attempt",
    ),
    pytest.param(HURRIED, picture(job("going", suspend=False), batch_job(), pod()), id="missed"),
    pytest.param(
        HURRIED, picture(job("done-later", suspend=False, attempt=2), run_file()), id="not-missed"
    ),
]  # fmt: skip
WRONG = [
    pytest.param(HELD, picture(job("held", suspend=True), pod()), "/running", id="pod-runs"),
    pytest.param(HELD, picture(job("held", suspend=True), batch_job()), "/running", id="job-runs"),
    pytest.param(HELD, picture(job("going", suspend=True)), "/phase", id="not-suspended"),
    pytest.param(HELD, picture(job("held", suspend=False)), "/spec/suspend", id="other-spec"),
    pytest.param(
        AGAIN, picture(job("resumed", suspend=False, attempt=2), batch_job(), pod()), "attempt",
        id="another-attempt",
    ),
    pytest.param(
        AGAIN, picture(job("resumed", suspend=False), batch_job(suspend=True), pod()),
        "Job NAME-train-a1/suspend", id="another-child",
    ),
    pytest.param(
        RESUMED, picture(job("done-later", suspend=False, artifact={"uri": "u"}), run_file()),
        "artifact", id="another-result",
    ),
    pytest.param(
        RESUMED, picture(job("done-later", suspend=False), run_file("another")), "run file",
        id="another-run-file",
    ),
    pytest.param(
        RESUMED, picture(job("held", suspend=False), run_file()), "it says that it is suspended",
        id="still-suspended",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("way", "found"), RIGHT)
def test_right_end(way, found):
    assert jobpictures.faults(way, {**KNOWN, way.name: copy.deepcopy(found)}) == []


@pytest.mark.parametrize(("way", "found", "path"), WRONG)
def test_wrong_end_is_told_by_its_path(way, found, path):
    wrong = jobpictures.faults(way, {**KNOWN, way.name: found})
    assert any(path in line for line in wrong)


def test_names_that_kubernetes_completed_are_alike_in_messages():
    one, other = (
        picture(job("going", suspend=False, message=f"pod units-train-a1-0-{end} failed"))
        for end in ("bbbbb", "ccccc")
    )
    assert one == other


STANDING = [
    pytest.param((OFF,), picture(job("going", suspend=False), pod()), True, id="at-the-stop"),
    pytest.param((OFF,), picture(job("done", suspend=False)), False, id="past-the-stop"),
    pytest.param((OFF, ON), picture(job("held", suspend=True)), True, id="suspended"),
    pytest.param((OFF, ON), picture(job("held", suspend=True), pod()), False, id="still-ending"),
    pytest.param((ON,), picture(job("going", suspend=True)), False, id="not-yet-suspended"),
]


@pytest.mark.parametrize(("states", "found", "does"), STANDING)
def test_job_may_be_changed_where_it_stands(states, found, does):
    assert jobpictures.rests(Way(states, TRAINING), found) is does


@pytest.mark.parametrize("is_queued", [True, False])
def test_queued_job_is_one_whose_own_job_is_suspended(is_queued):
    found = job("going", suspend=False)
    found["status"]["reason"] = "Pending"
    stands = picture(found, batch_job(suspend=is_queued))
    assert jobpictures.rests(Way((OFF,), jobways.QUEUED), stands) is is_queued
