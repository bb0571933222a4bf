"""When a child is applied again, and when it is left alone."""

from copy import deepcopy

import pytest

from fairlead_operator.serving import standing

MANIFEST = {
    "metadata": {"name": "x", "annotations": {"own": "1"}},
    "spec": {"replicas": 1, "ports": [{"port": 80}], "cpu": "1000m", "memory": "1Gi"},
}


def seen(**spec):
    found = deepcopy(standing.stamped(MANIFEST))
    found["metadata"]["uid"] = "uid"
    found["spec"] |= {"defaulted": True} | spec
    return found


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"ports": [{"port": 80, "protocol": "TCP"}]},
        {"cpu": "1", "memory": "1024Mi"},
        {"cpu": 1},
    ],
    ids=["defaults added", "defaults in a list", "quantities written otherwise", "a number"],
)
def test_same_meaning_stands(spec):
    assert standing.stands(standing.stamped(MANIFEST), seen(**spec))


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 2},
        {"ports": []},
        {"ports": [{"port": 81}]},
        {"cpu": "2"},
        {"memory": "1G"},
        {"ports": None},
    ],
    ids=["count", "shorter list", "list item", "cpu", "memory", "removed"],
)
def test_anothers_edit_does_not_stand(spec):
    assert not standing.stands(standing.stamped(MANIFEST), seen(**spec))


@pytest.mark.parametrize(
    ("written", "stored"),
    [(".5", "500m"), ("1.", "1"), ("1e3", "1k"), ("1500u", "1500u"), ("2.5Gi", "2560Mi")],
)
def test_quantity_that_a_user_may_write_stands_as_it_is_stored(written, stored):
    manifest = {"metadata": {"name": "x"}, "spec": {"cpu": written}}
    found = standing.stamped(manifest) | {"spec": {"cpu": stored}}
    assert standing.stands(standing.stamped(manifest), found)


@pytest.mark.parametrize(
    ("field", "ours", "theirs", "stands"),
    [
        ("env", {"name": "HOME", "value": "/x"}, {"name": "PROXY", "value": "y"}, True),
        ("ports", {"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}, True),
        ("volumeMounts", {"name": "m", "mountPath": "/m"}, {"name": "m", "mountPath": "/n"}, True),
        ("tolerations", {"key": "gpu"}, {"key": "spot"}, False),
        ("parentRefs", {"name": "gateway"}, {"name": "other"}, False),
    ],
    ids=["variable", "port", "mount", "list that we own whole", "another's list of names"],
)
def test_entry_that_an_apply_leaves_is_nobodys_concern(field, ours, theirs, stands):
    """An apply can't take another's entry out of a merged list: it would be tried for ever."""
    manifest = standing.stamped({"metadata": {"name": "x"}, "spec": {field: [ours]}})
    found = manifest | {"spec": {field: [theirs, ours]}}
    assert standing.stands(manifest, found) is stands
    assert not standing.stands(manifest, manifest | {"spec": {field: [theirs]}})


def test_what_is_not_there_does_not_stand():
    assert not standing.stands(standing.stamped(MANIFEST), None)


def test_field_that_we_no_longer_set_has_to_be_taken_back():
    fewer = {**MANIFEST, "spec": {"replicas": 1}}
    assert not standing.stands(standing.stamped(fewer), seen())


def test_stamp_leaves_the_manifest_alone_and_keeps_its_annotations():
    before = repr(MANIFEST)
    assert standing.stamped(MANIFEST)["metadata"]["annotations"]["own"] == "1"
    assert repr(MANIFEST) == before
