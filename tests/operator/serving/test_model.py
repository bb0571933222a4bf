"""Which model is served: named by uri, or pinned from a FineTuneJob."""

import pytest

from fairlead_api.modelservice import PinnedModel
from fairlead_operator.plan import Observed
from fairlead_operator.serving import model

CLAIMS = {"models": {"metadata": {"name": "models"}}}
REF = {"model": {"fineTuneJobRef": {"name": "teach"}}}


def pin(name="teach", uid="job-uid"):
    return {"uri": "pvc://models/pinned", "fineTuneJob": name, "fineTuneJobUid": uid}


def resolve(service, job=None, claims=CLAIMS, pins=()):
    return model.resolve(service, Observed(claims=claims, fine_tune_job=job), pins)


def test_uri_is_used_as_it_is(make_service):
    found = resolve(make_service(model={"uri": "pvc://models/base"}))
    assert found.model.uri == "pvc://models/base"
    assert found.model.artifact is None


@pytest.mark.parametrize("claims", [{}, {"models": None}], ids=["not looked up", "not there"])
def test_missing_claim_is_named(make_service, claims):
    found = resolve(make_service(), claims=claims)
    assert (found.model, found.reason) == (None, "ClaimNotFound")
    assert "PersistentVolumeClaim models in namespace team" in found.message


def test_complete_job_is_pinned_with_digest(make_service, make_job):
    job = make_job()
    found = resolve(make_service(**REF), job)
    assert found.model.uri == job["status"]["artifact"]["uri"]
    assert found.model.artifact.digest == job["status"]["artifact"]["digest"]
    assert (found.model.fine_tune_job, found.model.fine_tune_job_uid) == ("teach", "job-uid")


@pytest.mark.parametrize(
    ("job", "reason", "message"),
    [
        (None, "FineTuneJobNotFound", "there is no FineTuneJob teach"),
        ({"phase": "Training"}, "FineTuneJobNotComplete", "phase Training"),
        ({"phase": ""}, "FineTuneJobNotComplete", "phase unknown"),
        ({"artifact": None}, "FineTuneJobNotComplete", "not complete"),
        ({"phase": "Failed"}, "FineTuneJobFailed", "orders, line 3: not JSON"),
        ({"kind": "Adapter"}, "ArtifactIsAdapter", "spec.output.mergeAdapter: true"),
    ],
    ids=["missing", "training", "untouched", "no artifact", "failed", "adapter"],
)
def test_job_without_a_model_is_named_with_the_way_out(
    make_service, make_job, job, reason, message
):
    found = resolve(make_service(**REF), job if job is None else make_job(**job))
    assert (found.model, found.reason) == (None, reason)
    assert message in found.message


def unreadable(job, field):
    """The job as a version with other rules left it."""
    if field == "spec":
        job["spec"]["trainer"] = {"type": "Newer"}
    else:
        job["status"]["artifact"]["uri"] = "s3://bucket/artifact"
    return job


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("spec", "run it again: spec.trainer.type: Input should be 'SFT'"),
        ("artifact", "'s3://bucket/artifact' is not of the form"),
    ],
    ids=["its spec", "its artifact"],
)
def test_job_that_this_version_cannot_read_is_named_and_unpins_nothing(
    make_service, make_job, field, fault
):
    job = unreadable(make_job(), field)
    found = resolve(make_service(**REF), job)
    assert (found.model, found.reason) == (None, "FineTuneJobUnreadable")
    assert "FineTuneJob teach" in found.message
    assert fault in found.message
    pinned = make_service(status={"model": pin()}, **REF)
    assert resolve(pinned, job).model.uri == "pvc://models/pinned"


@pytest.mark.parametrize(
    "job",
    [
        None,
        {"phase": "Failed"},
        {"uid": "second", "phase": "Training"},
        {"uid": "second", "kind": "Adapter"},
    ],
    ids=["deleted", "failed later", "being run anew", "run anew to an adapter"],
)
def test_pin_outlives_whatever_becomes_of_the_job(make_service, make_job, job):
    service = make_service(status={"model": pin()}, **REF)
    found = resolve(service, job if job is None else make_job(**job))
    assert found.model.uri == "pvc://models/pinned"


def test_job_of_the_same_name_that_completes_anew_is_pinned(make_service, make_job):
    service = make_service(status={"model": pin()}, **REF)
    found = resolve(service, make_job(uid="second"))
    assert found.model.fine_tune_job_uid == "second"


def test_same_job_is_not_pinned_again(make_service, make_job):
    service = make_service(status={"model": pin()}, **REF)
    assert resolve(service, make_job()).model.uri == "pvc://models/pinned"


def test_pin_of_another_job_counts_for_nothing(make_service):
    service = make_service(status={"model": pin(name="other")}, **REF)
    assert resolve(service).reason == "FineTuneJobNotFound"


def test_pin_of_an_older_revision_is_found_again(make_service):
    older = [
        PinnedModel(uri="pvc://models/other"),
        PinnedModel(uri="pvc://models/newer", fine_tune_job="teach"),
        PinnedModel(uri="pvc://models/older", fine_tune_job="teach"),
    ]
    service = make_service(status={"model": {"uri": "pvc://models/other"}}, **REF)
    assert resolve(service, pins=older).model.uri == "pvc://models/newer"


def test_pinned_model_needs_its_claim_too(make_service):
    service = make_service(status={"model": pin()}, **REF)
    assert resolve(service, claims={}).reason == "ClaimNotFound"
