"""Acts on a stale observation do no harm."""

import pytest

from fairlead_api.finetunejob import FineTuneJob
from fairlead_operator import act, kube
from fairlead_operator.plan import Apply, CreateOnce, Delete, Seen
from fairlead_operator.testing import Fault


@pytest.fixture
async def owner(world, job):
    key = await world.make(job)
    return FineTuneJob.read(await world.live(key))


async def carry_out(world, step, owner):
    await act.carry_out(step, owner.metadata.uid, world.cluster, world.store)


def foreign(manifest):
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": []}}


async def test_a_child_made_before_is_found_and_left_as_it_is(world, owner, child):
    standing = await world.cluster.create(child(owner) | {"data": {"first": "1"}})
    world.store.drop(kube.CONFIG_MAP, "team", "tune-run", standing["metadata"]["uid"])
    await carry_out(world, CreateOnce(child(owner)), owner)
    (live,) = world.cluster.all(kube.CONFIG_MAP)
    assert live["data"] == {"first": "1"}


async def test_what_was_written_is_seen_at_once(world, owner, child):
    world.cluster.deafen()
    await carry_out(world, CreateOnce(child(owner)), owner)
    assert world.store.get(kube.CONFIG_MAP, "team", "tune-run") is not None


@pytest.mark.parametrize("step", [CreateOnce, Apply], ids=["create", "apply"])
async def test_an_object_of_somebody_else_is_left_alone_and_named(world, owner, child, step):
    before = await world.cluster.create(foreign(child(owner)))
    with pytest.raises(act.ForeignChild, match="ConfigMap team/tune-run exists already"):
        await carry_out(world, step(child(owner)), owner)
    assert world.cluster.all(kube.CONFIG_MAP) == [before]


@pytest.mark.parametrize("step", [CreateOnce, Apply], ids=["create", "apply"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({}, act.Leftover, id="ours-before"),
        pytest.param({"name": "another"}, act.ForeignChild, id="another-jobs"),
        pytest.param({"kind": "ModelService"}, act.ForeignChild, id="a-services"),
        pytest.param({"apiVersion": "other.dev/v1"}, act.ForeignChild, id="another-groups"),
        pytest.param({"controller": False}, act.ForeignChild, id="orphaned"),
    ],
)
async def test_a_child_of_the_resource_before_of_the_same_name_is_a_leftover(
    world, owner, child, owner_before, step, change, error
):
    before = await world.cluster.create(
        child(owner, ownerReferences=[owner_before(owner) | change])
    )
    with pytest.raises(error, match="ConfigMap team/tune-run"):
        await carry_out(world, step(child(owner)), owner)
    assert world.cluster.all(kube.CONFIG_MAP) == [before]


async def test_a_leftover_that_goes_while_it_is_looked_at_is_a_conflict(
    world, owner, child, owner_before
):
    await world.cluster.create(child(owner, ownerReferences=[owner_before(owner)]))
    world.cluster.faults.append(Fault("get", kube.CONFIG_MAP, kube.NotFound("gone", 404)))
    with pytest.raises(kube.AlreadyExists):
        await carry_out(world, CreateOnce(child(owner)), owner)


async def test_a_leftover_that_the_cache_missed_is_seen_from_then_on(
    world, owner, child, owner_before
):
    world.cluster.deafen()
    await world.cluster.create(child(owner, ownerReferences=[owner_before(owner)]))
    with pytest.raises(act.Leftover):
        await carry_out(world, CreateOnce(child(owner)), owner)
    assert world.store.get(kube.CONFIG_MAP, "team", "tune-run") is not None


@pytest.mark.parametrize("step", [CreateOnce, Apply], ids=["create", "apply"])
@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        pytest.param({"ownerReferences": []}, "controller reference", id="no-owner"),
        pytest.param({"labels": {}}, "lacks the label", id="no-label"),
    ],
)
async def test_a_child_that_would_escape_us_is_never_written(
    world, owner, child, step, metadata, fault
):
    with pytest.raises(act.PlanError, match=fault):
        await carry_out(world, step(child(owner, **metadata)), owner)
    assert world.cluster.writes() == []


async def test_an_apply_to_a_child_that_is_gone_does_not_bring_it_back(world, owner, child):
    made = await world.cluster.create(child(owner))
    seen = Seen.of(made)
    await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", seen.uid)
    with pytest.raises(kube.Conflict):
        await carry_out(world, Apply(child(owner), seen), owner)
    assert world.cluster.all(kube.CONFIG_MAP) == []


async def test_an_apply_to_a_child_that_the_cache_missed_goes_to_that_child(world, owner, child):
    made = await world.cluster.create(child(owner))
    await carry_out(world, Apply(child(owner) | {"data": {"new": "1"}}), owner)
    (live,) = world.cluster.all(kube.CONFIG_MAP)
    assert live["metadata"]["uid"] == made["metadata"]["uid"]
    assert live["data"]["new"] == "1"


async def test_an_apply_brings_in_a_child_that_nobody_has(world, owner, child):
    await carry_out(world, Apply(child(owner)), owner)
    assert len(world.cluster.all(kube.CONFIG_MAP)) == 1


async def test_an_apply_that_comes_in_late_takes_no_child_of_the_next_resource(
    world, owner, child, monkeypatch
):
    apply, theirs = world.cluster.apply, []
    following = owner.model_copy(
        update={"metadata": owner.metadata.model_copy(update={"uid": "next"})}
    )

    async def overtaken(manifest, **options):
        monkeypatch.setattr(world.cluster, "apply", apply)
        theirs.append(await apply(child(following)))
        return await apply(manifest, **options)

    monkeypatch.setattr(world.cluster, "apply", overtaken)
    with pytest.raises(kube.Conflict):
        await carry_out(world, Apply(child(owner)), owner)
    assert world.cluster.all(kube.CONFIG_MAP) == theirs


async def test_an_apply_that_comes_in_late_undoes_nothing(world, owner, child, monkeypatch):
    await carry_out(world, Apply(child(owner)), owner)
    (made,) = world.cluster.all(kube.CONFIG_MAP)
    apply = world.cluster.apply

    async def overtaken(manifest, **options):
        monkeypatch.setattr(world.cluster, "apply", apply)
        await apply(child(owner) | {"data": {"newer": "1"}})
        return await apply(manifest, **options)

    monkeypatch.setattr(world.cluster, "apply", overtaken)
    late = Apply(child(owner) | {"data": {"older": "1"}}, Seen.of(made))
    with pytest.raises(kube.Conflict):
        await carry_out(world, late, owner)
    assert world.cluster.all(kube.CONFIG_MAP)[0]["data"] == {"newer": "1"}


async def test_an_apply_that_was_decided_on_before_the_cache_was_renewed_undoes_nothing(
    world, owner, child
):
    made = await world.cluster.create(child(owner))
    world.cluster.edit(made, data={"newer": "1"})
    with pytest.raises(kube.Conflict):
        await carry_out(world, Apply(child(owner) | {"data": {}}, Seen.of(made)), owner)
    assert world.cluster.all(kube.CONFIG_MAP)[0]["data"] == {"newer": "1"}


def delete(made):
    return Delete("v1", "ConfigMap", "team", "tune-run", Seen.of(made))


async def test_a_delete_spares_the_successor_of_the_same_name(world, owner, child):
    made = await world.cluster.create(child(owner))
    before = {"metadata": made["metadata"] | {"uid": "the-one-before"}}
    with pytest.raises(kube.Conflict):
        await carry_out(world, delete(before), owner)
    assert len(world.cluster.all(kube.CONFIG_MAP)) == 1


@pytest.mark.parametrize("is_told", [False, True], ids=["not-told", "told-since"])
async def test_a_delete_spares_a_child_that_has_changed_since_it_was_seen(
    world, owner, child, is_told
):
    """Shown as running by an old listing, a Job may be complete: then nobody wants it gone."""
    made = await world.cluster.create(child(owner))
    if not is_told:
        world.cluster.deafen()
    world.cluster.edit(made, data={"complete": "1"})
    with pytest.raises(kube.Conflict):
        await carry_out(world, delete(made), owner)
    assert len(world.cluster.all(kube.CONFIG_MAP)) == 1


@pytest.mark.parametrize("gone", [True, False], ids=["gone-already", "there"])
async def test_a_delete_ends_with_the_child_gone_from_cluster_and_cache(world, owner, child, gone):
    made = await world.cluster.create(child(owner))
    uid = made["metadata"]["uid"]
    world.cluster.deafen()
    if gone:
        await world.cluster.delete(kube.CONFIG_MAP, "team", "tune-run", uid)
    await carry_out(world, delete(made), owner)
    assert world.cluster.all(kube.CONFIG_MAP) == []
    assert world.store.get(kube.CONFIG_MAP, "team", "tune-run") is None


async def test_a_delete_that_nobody_serves_is_no_end_of_the_child(world, owner, child):
    """404 is also the answer where the kind isn't served: what is kept comes back with the API."""
    manifest = child(owner) | {"apiVersion": kube.HTTP_ROUTE.api_version, "kind": "HTTPRoute"}
    made = await world.cluster.create(manifest)
    world.cluster.absent.add(kube.HTTP_ROUTE)
    name = made["metadata"]["name"]
    step = Delete(made["apiVersion"], "HTTPRoute", "team", name, Seen.of(made))
    with pytest.raises(kube.NotFound):
        await carry_out(world, step, owner)
    assert world.store.get(kube.HTTP_ROUTE, "team", name) is not None
