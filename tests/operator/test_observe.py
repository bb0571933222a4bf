"""A planner sees its own children and the neighbours that its spec names."""

import pytest

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_operator import kube
from fairlead_operator.observe import REMEMBER_API_SECONDS, REMEMBER_SECONDS, Observer
from fairlead_operator.store import Key, Store

COMPLETE = {"type": "Complete", "status": "True"}
JOB = Key(kube.FINETUNEJOB, "team", "tune")
SERVICE = Key(kube.MODELSERVICE, "team", "serve")


def thing(kind, name, namespace="team", **more):
    head = {"name": name, "namespace": namespace}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": head} | more


def revision_of(service, revision):
    """A ControllerRevision of a live ModelService."""
    made = thing(kube.REVISION, f"serve-{revision}")
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_MODELSERVICE: "serve"}
    made["metadata"] |= {"labels": labels, "ownerReferences": [owner(service)]}
    return made


@pytest.fixture
def observer(world):
    return Observer(world.cluster, world.store, lambda: world.monotonic, ("edge", "main"))


async def observed_job(world, observer, job):
    await world.make(job)
    (live,) = world.cluster.all(kube.FINETUNEJOB)
    return await observer.observe(JOB, FineTuneJob.read(live))


async def observed_service(world, observer, service):
    await world.make(service)
    (live,) = world.cluster.all(kube.MODELSERVICE)
    return await observer.observe(SERVICE, ModelService.read(live))


async def test_every_claim_that_a_job_names_is_looked_up(world, observer, job):
    await world.make(thing(kube.CLAIM, "work", spec={"accessModes": ["ReadWriteMany"]}))
    seen = await observed_job(world, observer, job)
    assert set(seen.claims) == {"work", "models", "data"}
    assert seen.claims["work"]["spec"] == {"accessModes": ["ReadWriteMany"]}
    assert seen.claims["models"] is None


@pytest.mark.parametrize("there", [True, False])
async def test_every_config_map_that_a_job_names_is_looked_up(world, observer, job, there):
    job["spec"]["datasets"] = [{"name": "d", "configMapRef": {"name": "rows"}}]
    if there:
        await world.make(thing(kube.CONFIG_MAP, "rows"))
    seen = await observed_job(world, observer, job)
    assert seen.foreign_config_maps == {"rows": there}


async def test_a_finished_job_asks_for_nothing_live(world, observer, job):
    made = await world.make(job)
    condition = {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    live = world.cluster.edit(await world.live(made), status={"conditions": [condition]})
    world.cluster.calls.clear()
    await observer.observe(JOB, FineTuneJob.read(live))
    assert world.cluster.calls == []


async def with_ended_attempt(world, job, counted_attempt=0):
    """A job whose Prepare attempt has ended by its Job; of the ended pod nothing was told yet."""
    stage = {"name": "Prepare", "state": "Running", "attempt": 1}
    stage |= {"countedAttempt": counted_attempt}
    live = world.cluster.edit(await world.live(await world.make(job)), status={"stages": [stage]})
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FINETUNEJOB: "tune"}
    made = thing(kube.JOB, "tune-prepare-a1")
    made["metadata"] |= {"labels": labels, "ownerReferences": [owner(live)]}
    batch = await world.cluster.create(made)
    world.cluster.edit(batch, status={"succeeded": 1, "conditions": [COMPLETE]})
    world.cluster.deafen()
    pod = thing(kube.POD, "tune-prepare-a1-0-abcde")
    of_job = {"batch.kubernetes.io/controller-uid": batch["metadata"]["uid"]}
    pod["metadata"] |= {"labels": labels | of_job, "ownerReferences": [owner(batch)]}
    return FineTuneJob.read(live), pod


def owner(manifest):
    head = {key: manifest["metadata"][key] for key in ("name", "uid")}
    return {key: manifest[key] for key in ("apiVersion", "kind")} | head | {"controller": True}


async def test_pods_of_an_attempt_that_ended_are_read_where_the_watch_lags(world, observer, job):
    resource, pod = await with_ended_attempt(world, job)
    made = await world.cluster.create(pod)
    world.cluster.edit(made, status={"phase": "Succeeded"})
    seen = await observer.observe(JOB, resource)
    assert [one["status"]["phase"] for one in seen.pods] == ["Succeeded"]
    world.cluster.calls.clear()
    await observer.observe(JOB, resource)
    assert ("list", kube.POD, "") not in world.cluster.calls, "what was read is kept"


async def test_pods_of_an_attempt_that_ended_may_be_gone(world, observer, job):
    resource, _ = await with_ended_attempt(world, job)
    seen = await observer.observe(JOB, resource)
    assert (len(seen.jobs), seen.pods) == (1, ())


async def test_pods_of_an_attempt_that_is_counted_are_not_asked_for(world, observer, job):
    resource, pod = await with_ended_attempt(world, job, counted_attempt=1)
    await world.cluster.create(pod)
    seen = await observer.observe(JOB, resource)
    assert seen.pods == ()


@pytest.mark.parametrize("role", ["stable", "candidate"])
async def test_revisions_that_an_old_listing_does_not_show_are_read(world, service, role):
    """Also one that is no more in use: the next one is numbered after all of them."""
    live = world.cluster.edit(await world.live(await world.make(service)), status={role: "abc"})
    for revision in ("abc", "old"):
        await world.cluster.create(revision_of(live, revision))
    foreign = revision_of(live | {"metadata": live["metadata"] | {"uid": "before"}}, "gone")
    await world.cluster.create(foreign)
    observer = Observer(world.cluster, Store(), lambda: 0.0)
    for num_reads in (1, 0):
        world.cluster.calls.clear()
        seen = await observer.observe(SERVICE, ModelService.read(live))
        found = {one["metadata"]["name"] for one in seen.revisions}
        assert found == {"serve-abc", "serve-old"}
        for name in found:
            assert world.cluster.calls.count(("get", kube.REVISION, name)) == num_reads


async def test_revision_that_is_gone_is_none_and_others_are_read_once(world, service):
    live = world.cluster.edit(await world.live(await world.make(service)), status={"stable": "abc"})
    await world.cluster.create(revision_of(live, "old"))
    observer = Observer(world.cluster, Store(), lambda: 0.0)
    for _ in range(2):
        seen = await observer.observe(SERVICE, ModelService.read(live))
        assert [one["metadata"]["name"] for one in seen.revisions] == ["serve-old"]
    assert world.cluster.calls.count(("get", kube.REVISION, "serve-old")) == 1


@pytest.mark.parametrize("owner_uid", [None, "before"], ids=["nothing", "of-the-job-before"])
async def test_running_attempt_that_an_old_listing_does_not_show_is_read(world, job, owner_uid):
    """Else it would be counted as deleted, and then deleted."""
    resource, _ = await with_ended_attempt(world, job)
    (batch,) = world.cluster.all(kube.JOB)
    world.cluster.edit(batch, status={"active": 1})
    restarted = Store()
    if owner_uid:
        references = [batch["metadata"]["ownerReferences"][0] | {"uid": owner_uid}]
        old = {"uid": "old", "resourceVersion": "1", "ownerReferences": references}
        restarted.put(kube.JOB, batch | {"metadata": batch["metadata"] | old})
    seen = await Observer(world.cluster, restarted, lambda: 0.0).observe(JOB, resource)
    assert [one["metadata"]["uid"] for one in seen.jobs] == [batch["metadata"]["uid"]]


async def test_end_that_a_watch_tells_while_its_attempt_is_read_counts(world, job, monkeypatch):
    """Else the attempt would be counted with an end and without its pods' words."""
    resource, pod = await with_ended_attempt(world, job)
    await world.cluster.create(pod)
    (batch,) = world.cluster.all(kube.JOB)
    under_way = batch | {"status": {"active": 1}}
    under_way["metadata"] = batch["metadata"] | {"resourceVersion": "1"}
    restarted, get = Store(), world.cluster.get

    async def told_meanwhile(kind, namespace, name):
        if kind != kube.JOB:
            return await get(kind, namespace, name)
        restarted.put(kube.JOB, batch)
        return under_way

    monkeypatch.setattr(world.cluster, "get", told_meanwhile)
    seen = await Observer(world.cluster, restarted, lambda: 0.0).observe(JOB, resource)
    assert [one["status"] for one in seen.jobs] == [batch["status"]]
    assert [one["metadata"]["name"] for one in seen.pods] == [pod["metadata"]["name"]]


async def test_running_attempt_that_somebody_deleted_is_not_there(world, observer, job):
    resource, _ = await with_ended_attempt(world, job)
    (batch,) = world.cluster.all(kube.JOB)
    uid = batch["metadata"]["uid"]
    await world.cluster.delete(kube.JOB, "team", "tune-prepare-a1", uid)
    world.store.drop(kube.JOB, "team", "tune-prepare-a1", uid)
    assert (await observer.observe(JOB, resource)).jobs == ()


@pytest.mark.parametrize(("num_nodes", "shown"), [(1, []), (2, ["tune-workers"])])
async def test_service_of_a_job_before_is_in_the_way_where_one_is_needed(
    world, observer, job, owner_before, num_nodes, shown
):
    job["spec"]["numNodes"] = num_nodes
    resource = FineTuneJob.read(await world.live(await world.make(job)))
    left = thing(kube.SERVICE, "tune-workers")
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_FINETUNEJOB: "tune"}
    left["metadata"] |= {"labels": labels, "ownerReferences": [owner_before(resource)]}
    await world.cluster.create(left)
    found = (await observer.observe(JOB, resource)).leftovers
    assert [one["metadata"]["name"] for one in found] == shown


async def test_children_of_a_job_before_of_the_same_name_are_shown_as_its_leftovers(
    world, observer, job, child, owner_before
):
    key = await world.make(job)
    first = FineTuneJob.read(await world.live(key))
    await world.cluster.create(child(first, ownerReferences=[owner_before(first)]))
    seen = await observer.observe(JOB, first)
    assert seen.config_maps == ()
    assert [left["metadata"]["name"] for left in seen.leftovers] == ["tune-run"]
    await world.cluster.create(child(first, suffix="mine"))
    seen = await observer.observe(JOB, first)
    assert [c["metadata"]["name"] for c in seen.config_maps] == ["tune-mine"]


async def test_what_was_looked_up_is_remembered_for_a_while(world, observer, job):
    await observed_job(world, observer, job)
    world.cluster.calls.clear()
    (live,) = world.cluster.all(kube.FINETUNEJOB)
    await observer.observe(JOB, FineTuneJob.read(live))
    assert world.cluster.calls == []
    world.monotonic += REMEMBER_SECONDS
    await world.make(thing(kube.CLAIM, "work"))
    seen = await observer.observe(JOB, FineTuneJob.read(live))
    assert seen.claims["work"] is not None, "a claim made meanwhile was not noticed"


async def test_a_service_sees_the_job_it_names_and_the_claim_of_its_artifact(
    world, observer, job, service
):
    made = await world.make(job)
    artifact = {"uri": "pvc://results/a"}
    world.cluster.edit(await world.live(made), status={"artifact": artifact})
    seen = await observed_service(world, observer, service)
    assert seen.fine_tune_job["status"]["artifact"] == artifact
    assert set(seen.claims) == {"results"}


async def test_artifact_that_lies_where_we_cannot_look_up_is_left_to_the_planner(
    world, observer, job, service
):
    made = await world.make(job)
    world.cluster.edit(await world.live(made), status={"artifact": {"uri": "s3://bucket/a"}})
    assert (await observed_service(world, observer, service)).claims == {}


GATEWAYS = [
    pytest.param(None, {"edge/main"}, id="the-installations"),
    pytest.param([], set(), id="none-wanted"),
    pytest.param([{"name": "own"}], {"team/own"}, id="own-namespace"),
    pytest.param([{"name": "far", "namespace": "net"}], {"net/far"}, id="another-namespace"),
]


@pytest.mark.parametrize(("references", "expected"), GATEWAYS)
async def test_a_service_sees_the_gateways_it_would_use(
    world, observer, service, references, expected
):
    if references is not None:
        service["spec"]["gatewayRefs"] = references
    seen = await observed_service(world, observer, service)
    assert set(seen.gateways) == expected
    assert seen.has_gateway_api


async def test_without_gateway_api_nothing_of_it_is_asked_for(world, observer, service):
    world.cluster.absent.update({kube.HTTP_ROUTE, kube.GATEWAY})
    seen = await observed_service(world, observer, service)
    assert (seen.has_gateway_api, seen.gateways, seen.routes) == (False, {}, ())


async def test_route_is_still_seen_while_its_api_is_not_served(world, observer, service):
    made = await world.make(service)
    owner = {"uid": (await world.live(made))["metadata"]["uid"], "controller": True}
    route = thing(kube.HTTP_ROUTE, "serve")
    labels = {names.LABEL_MODELSERVICE: "serve"}
    route["metadata"] |= {"labels": labels, "ownerReferences": [owner]}
    await world.cluster.create(route)
    world.cluster.absent.add(kube.HTTP_ROUTE)
    seen = await observer.observe(SERVICE, ModelService.read(await world.live(made)))
    assert not seen.has_gateway_api
    assert [each["metadata"]["name"] for each in seen.routes] == ["serve"]


async def test_gateway_api_is_noticed_when_it_appears(world, observer):
    world.cluster.absent.add(kube.HTTP_ROUTE)
    assert not await observer.serves_gateway_api()
    world.cluster.absent.clear()
    assert not await observer.serves_gateway_api(), "asked on every pass"
    world.monotonic += REMEMBER_API_SECONDS
    assert await observer.serves_gateway_api()
