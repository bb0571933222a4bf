"""A task that runs again takes its work over, or does anew what failed; never another's."""

import pytest

from fairlead_airflow import manifests, naming, submission
from fairlead_airflow.submission import Step
from fairlead_api import names

KEY = naming.TaskKey("weekly", "train", "run-1")


@pytest.fixture
def wanted(job):
    body = job()
    del body["status"], body["metadata"]["resourceVersion"]
    return manifests.complete(body, names.FINETUNEJOB, "units", "demo", KEY)


@pytest.fixture
def found(wanted, make_condition):
    """What stands in the cluster, made by the same task unless said otherwise."""

    def make(*conditions, spec=None, annotations=None, deleted=False):
        metadata = {**wanted["metadata"], "uid": "u-1", "generation": 1}
        if annotations is not None:
            metadata["annotations"] = annotations
        if deleted:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        status = {"conditions": [make_condition(type_) for type_ in conditions]}
        return {**wanted, "metadata": metadata, "spec": spec or wanted["spec"], "status": status}

    return make


def test_work_that_is_not_there_is_made(wanted):
    assert submission.decide(wanted, None) is Step.APPLY


@pytest.mark.parametrize(
    ("conditions", "step"),
    [([], Step.ATTACH), (["Complete"], Step.ATTACH), (["Failed"], Step.REPLACE)],
    ids=["goes on", "done", "failed"],
)
def test_own_work_is_taken_over_unless_it_failed(wanted, found, conditions, step):
    assert submission.decide(wanted, found(*conditions)) is step


def test_work_of_an_older_spec_is_done_anew(wanted, found):
    older = wanted["metadata"]["annotations"] | {names.ANNOTATION_SPEC: "older"}
    assert submission.decide(wanted, found(annotations=older)) is Step.REPLACE


def test_work_that_a_kill_suspended_goes_on(wanted, found):
    assert submission.decide(wanted, found(spec=wanted["spec"] | {"suspend": True})) is Step.RESUME


def test_work_that_is_being_deleted_is_waited_out(wanted, found):
    assert submission.decide(wanted, found(deleted=True)) is Step.WAIT


@pytest.mark.parametrize(
    ("annotations", "maker"),
    [({}, "somebody else"), ({names.ANNOTATION_TASK: "weekly/run-0/train"}, "weekly/run-0/train")],
    ids=["kubectl", "the run before"],
)
def test_work_of_another_is_never_handed_out(wanted, found, annotations, maker):
    with pytest.raises(submission.ForeignResource, match=maker):
        submission.decide(wanted, found("Complete", annotations=annotations))


def test_a_service_may_be_changed_by_anybody(service):
    body = service()
    wanted = manifests.complete(body, names.MODELSERVICE, "units", "demo", KEY)
    assert submission.decide(wanted, service()) is Step.APPLY


@pytest.mark.parametrize(
    ("annotations", "maker"),
    [
        (None, "weekly/run-1/train"),
        ({}, None),
        ({names.ANNOTATION_TASK: "other/run-7/serve"}, "other/run-7/serve"),
    ],
    ids=["made now", "made by kubectl", "made by another task"],
)
def test_who_changes_a_service_does_not_pass_for_its_maker(service, annotations, maker):
    wanted = manifests.complete(service(), names.MODELSERVICE, "units", "demo", KEY)
    found = None if annotations is None else service()
    if found is not None:
        found["metadata"]["annotations"] = annotations
    applied = submission.with_maker(wanted, found)
    assert applied["metadata"]["annotations"].get(names.ANNOTATION_TASK) == maker
    assert submission.made(applied, KEY) == (maker == str(KEY))
