"""The in-memory API server keeps the promises that the operator builds on."""

import pytest

from fairlead_operator import kube
from fairlead_operator.testing import Fault, MemoryCluster


def config(name="c", uid=None, owner=None, **data):
    head = {"name": name, "namespace": "team"}
    if uid:
        head["uid"] = uid
    if owner:
        head["ownerReferences"] = [{"uid": owner, "controller": True}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data}


@pytest.fixture
def cluster():
    return MemoryCluster()


async def test_an_apply_takes_back_what_it_no_longer_says(cluster):
    await cluster.apply(config(a="1", b="2"))
    assert (await cluster.apply(config(b="2")))["data"] == {"b": "2"}


async def test_an_apply_leaves_other_managers_fields_alone(cluster):
    await cluster.apply(config(mine="1"))
    await cluster.apply(config(theirs="1", mine="1"), manager="other")
    assert (await cluster.apply(config()))["data"] == {"mine": "1", "theirs": "1"}


async def test_an_apply_that_changes_nothing_makes_no_version_and_no_event(cluster):
    first = await cluster.apply(config(a="1"))
    events = []
    cluster.listen(lambda *event: events.append(event))
    assert await cluster.apply(config(a="1")) == first
    assert events == []


async def test_a_status_is_apart_from_the_rest(cluster):
    made = await cluster.create(config() | {"status": {"phase": "made-up"}})
    assert "status" not in made
    status = config() | {"status": {"phase": "x"}, "data": {"ignored": "1"}}
    applied = await cluster.apply(status, subresource="status")
    assert (applied["status"], applied["data"]) == ({"phase": "x"}, {})
    again = await cluster.apply(config(a="1") | {"status": {"phase": "y"}})
    assert again["status"] == {"phase": "x"}


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda c: c.apply(config(uid="before")), id="apply-uid"),
        pytest.param(lambda c: c.apply(config("gone", uid="before")), id="apply-to-gone"),
        pytest.param(lambda c: c.delete(kube.CONFIG_MAP, "team", "c", "before"), id="delete-uid"),
        pytest.param(lambda c: c.create(config()), id="create-again"),
    ],
)
async def test_a_broken_precondition_is_a_conflict_and_changes_nothing(cluster, write):
    before = await cluster.create(config(a="1"))
    with pytest.raises(kube.Conflict):
        await write(cluster)
    assert cluster.all(kube.CONFIG_MAP) == [before]


async def test_a_write_over_an_old_version_is_a_conflict(cluster):
    old = await cluster.create(config(a="1"))
    await cluster.replace(old | {"data": {"a": "2"}})
    with pytest.raises(kube.Conflict):
        await cluster.replace(old | {"data": {"a": "3"}})


async def test_owners_take_their_children_with_them(cluster):
    parent = await cluster.create(config("parent"))
    uid = parent["metadata"]["uid"]
    child = await cluster.create(config("child", owner=uid))
    await cluster.create(config("grandchild", owner=child["metadata"]["uid"]))
    await cluster.create(config("stranger"))
    await cluster.delete(kube.CONFIG_MAP, "team", "parent", uid)
    assert [c["metadata"]["name"] for c in cluster.all(kube.CONFIG_MAP)] == ["stranger"]


@pytest.mark.parametrize(("after", "there"), [(False, 0), (True, 1)], ids=["before", "after"])
async def test_a_fault_strikes_before_the_write_or_loses_its_answer(cluster, after, there):
    cluster.faults.append(Fault("create", kube.CONFIG_MAP, kube.Unavailable("x", 503), after=after))
    with pytest.raises(kube.Unavailable):
        await cluster.create(config())
    assert len(cluster.all(kube.CONFIG_MAP)) == there


async def test_what_is_returned_is_a_copy(cluster):
    made = await cluster.create(config(a="1"))
    made["data"]["a"] = "2"
    assert (await cluster.get(kube.CONFIG_MAP, "team", "c"))["data"] == {"a": "1"}


async def test_an_absent_kind_is_not_served(cluster):
    cluster.absent.add(kube.HTTP_ROUTE)
    assert not await cluster.serves(kube.HTTP_ROUTE)
    with pytest.raises(kube.NotFound):
        await cluster.list_heads(kube.HTTP_ROUTE)


async def test_the_generation_moves_with_the_spec_only(cluster):
    made = await cluster.apply(config() | {"spec": {"a": 1}})
    assert made["metadata"]["generation"] == 1
    labelled = cluster.edit(made, labels={"x": "y"})
    assert labelled["metadata"]["generation"] == 1
    assert cluster.edit(made, spec={"a": 2})["metadata"]["generation"] == 2
