"""Revisions: what makes a new one, and what doesn't."""

import dataclasses

import pytest

from fairlead_api.modelservice import PinnedModel
from fairlead_operator.serving import revision

MODEL = PinnedModel(uri="pvc://models/base")


@pytest.fixture
def wanted(make_service, options):
    def wanted(known=(), unproven=(), model=MODEL, changes=None, annotations=None, **spec):
        service = make_service(annotations=annotations, **spec)
        return revision.wanted(
            service, model, known, unproven, dataclasses.replace(options, **(changes or {}))
        )

    return wanted


def seen(service, found):
    """The revision as it is read back from its ControllerRevision."""
    manifest = revision.controller_revision(service, found)
    manifest["metadata"]["uid"] = "uid"
    return revision.read(manifest)


def test_record_holds_the_whole_revision(make_service, wanted):
    found = wanted()
    assert seen(make_service(), found) == dataclasses.replace(found, uid="uid")


def test_name_is_safe_and_follows_from_the_template(wanted):
    found = wanted()
    assert found.name == revision.short_hash(found.template)
    assert len(found.name) == 10
    assert set(found.name) <= set("bcdfghjklmnpqrstvwxz2456789")


@pytest.mark.parametrize(
    "change",
    [
        {"engine": {"maxModelLen": 64}},
        {"servedModelName": "other"},
        {"limits": {"maxQueuedRequests": 1}},
        {"resources": {"requests": {"cpu": "1"}}},
        {"annotations": {"fairlead.dev/restarted-at": "now"}},
        {"model": PinnedModel(uri="pvc://models/other")},
    ],
    ids=["engine", "name", "limits", "resources", "restart", "model"],
)
def test_change_makes_a_revision(wanted, change):
    first = wanted()
    second = wanted(known=[first], **change)
    assert second.name != first.name
    assert second.number == first.number + 1


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 7},
        {"gatewayRefs": []},
        {"limits": {"maxQueuedRequests": 256}},
        {"changes": {"image": "newer"}},
        {"changes": {"drain_seconds": 5}},
    ],
    ids=["replicas", "gateways", "a default spelt out", "newer image", "newer operator"],
)
def test_change_that_makes_no_revision(wanted, change):
    first = wanted()
    assert wanted(known=[first], **change) == first


def test_revision_that_never_served_gets_a_corrected_image(wanted):
    broken = wanted()
    mended = wanted(known=[broken], unproven=[broken.name], changes={"image": "newer"})
    assert mended.name != broken.name
    assert wanted(known=[broken, mended], unproven=[broken.name]) == mended
    assert wanted(known=[broken], unproven=[broken.name]) == broken


def test_image_is_part_of_the_hash(wanted):
    assert wanted().name != wanted(changes={"image": "newer"}).name


def test_same_template_asked_for_in_other_words_is_the_same_revision(wanted):
    first = wanted()
    asked_otherwise = wanted(known=[first], engine={"tensorParallelSize": 1})
    assert asked_otherwise == first
