"""The promises that the operator builds on, asked of a real API server.

Each one is kept by the in-memory cluster too; the fixture runs every test against both, so the
fast tier can't drift away from the truth.
"""

import json
import uuid

import pytest

from fairlead_api import crd, names
from fairlead_chaos import patient
from fairlead_operator import cluster as client
from fairlead_operator import kube
from fairlead_operator.testing import MemoryCluster

pytestmark = pytest.mark.cluster


@pytest.fixture(params=["memory", "real"])
def running(request):
    """The running cluster, or None; not asked for by ``api``: it needs an event loop of its own."""
    return request.getfixturevalue("cluster") if request.param == "real" else None


@pytest.fixture
async def api(running):
    """A cluster with an empty namespace called ``api.team``."""
    if running is None:
        memory = MemoryCluster()
        memory.team = "team"
        yield memory
        return
    config = client.Configuration()
    await client.load_kube_config(str(running.kubeconfig), client_configuration=config)
    real = client.ApiCluster(config, lambda *_: None)
    real.team = f"client-{uuid.uuid4().hex[:8]}"

    def kubectl(*arguments, stdin=None):
        command = [str(running.kubectl), f"--kubeconfig={running.kubeconfig}", *arguments]
        patient.run(command, stdin).check_returncode()

    kubectl("create", "namespace", real.team)
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    kubectl(*apply, stdin=json.dumps(crd.finetunejob_crd()))
    kubectl(
        "wait", "--for=condition=Established", "--timeout=180s", "crd/finetunejobs.fairlead.dev"
    )
    yield real
    await real.close()
    kubectl("delete", "namespace", real.team, "--wait=false")


@pytest.fixture
def config(api):
    def build(name="c", uid=None, **data):
        head = {"name": name, "namespace": api.team} | ({"uid": uid} if uid else {})
        head["labels"] = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data}

    return build


@pytest.fixture
def job(api):
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": "tune", "namespace": api.team},
        "spec": {
            "model": {"uri": "pvc://models/base"},
            "datasets": [{"name": "rows", "uri": "pvc://data/rows.jsonl"}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "work"},
        },
    }


async def read(api):
    return await api.get(kube.CONFIG_MAP, api.team, "c")


async def test_an_apply_takes_back_what_it_no_longer_says(api, config):
    await api.apply(config(a="1", b="2"))
    await api.apply(config(b="2"))
    assert (await read(api))["data"] == {"b": "2"}


async def test_an_apply_leaves_other_managers_fields_alone(api, config):
    await api.apply(config(mine="1"))
    await api.apply(config(theirs="1", mine="1"), manager="other")
    await api.apply(config())
    assert (await read(api))["data"] == {"mine": "1", "theirs": "1"}


async def test_an_apply_that_changes_nothing_makes_no_version(api, config):
    first = await api.apply(config(a="1"))
    second = await api.apply(config(a="1"))
    assert kube.version(first) == kube.version(second) > 0


async def test_an_apply_to_what_is_gone_does_not_bring_it_back(api, config):
    made = await api.create(config(a="1"))
    uid = made["metadata"]["uid"]
    await api.delete(kube.CONFIG_MAP, api.team, "c", uid)
    with pytest.raises(kube.Conflict):
        await api.apply(config(uid=uid, a="2"))
    assert not await api.exists(kube.CONFIG_MAP, api.team, "c")


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
async def test_an_apply_to_another_than_was_seen_is_a_conflict(api, config, precondition):
    seen = await api.create(config(a="1"))
    if precondition == "uid":
        stale = config(uid="00000000-0000-0000-0000-000000000000", a="2")
    else:
        await api.apply(config(a="newer"))
        stale = config(a="2")
        stale["metadata"]["resourceVersion"] = seen["metadata"]["resourceVersion"]
    with pytest.raises(kube.Conflict):
        await api.apply(stale)


async def test_an_apply_at_the_first_version_brings_in_what_is_not_there_and_nothing_else(
    api, config
):
    def new(**data):
        manifest = config(**data)
        manifest["metadata"]["resourceVersion"] = kube.FIRST_VERSION
        return manifest

    await api.apply(new(a="1"))
    with pytest.raises(kube.Conflict):
        await api.apply(new(a="2"))
    assert (await read(api))["data"] == {"a": "1"}


async def test_a_delete_spares_the_successor_of_the_same_name(api, config):
    await api.create(config(a="1"))
    with pytest.raises(kube.Conflict):
        gone = "00000000-0000-0000-0000-000000000000"
        await api.delete(kube.CONFIG_MAP, api.team, "c", gone)
    assert await api.exists(kube.CONFIG_MAP, api.team, "c")


async def test_a_name_is_given_once(api, config):
    await api.create(config(a="1"))
    with pytest.raises(kube.AlreadyExists):
        await api.create(config(a="2"))


async def test_a_write_over_an_old_version_is_a_conflict(api, config):
    old = await api.create(config(a="1"))
    await api.replace(old | {"data": {"a": "2"}})
    with pytest.raises(kube.Conflict):
        await api.replace(old | {"data": {"a": "3"}})


async def test_versions_grow(api, config):
    first = await api.create(config(a="1"))
    second = await api.apply(config(a="2"))
    assert kube.version(second) > kube.version(first)


async def test_what_is_absent_is_not_found(api):
    with pytest.raises(kube.NotFound):
        await read(api)
    assert not await api.exists(kube.CONFIG_MAP, api.team, "c")


async def test_of_children_only_ours_are_listed_with_their_metadata(api, config):
    await api.create(config("ours", a="1"))
    stray = config("stray")
    del stray["metadata"]["labels"]
    await api.create(stray)
    (head,) = await api.list_heads(kube.CONFIG_MAP, api.team)
    assert head["metadata"]["name"] == "ours"
    assert head["metadata"]["uid"] and kube.version(head)
    assert "data" not in head


async def test_two_managers_share_a_status_and_neither_touches_the_spec(api, job):
    made = await api.create(job)
    head = {part: made["metadata"][part] for part in ("name", "namespace", "uid")}
    bare = {"apiVersion": job["apiVersion"], "kind": job["kind"], "metadata": head}
    progress = bare | {"status": {"progress": {"step": 3}}}
    await api.apply(progress, subresource="status", manager=names.MANAGER_PROGRESS)
    status = {"phase": "Training", "observedGeneration": 1}
    await api.apply(bare | {"status": status}, subresource="status")
    live = await api.apply(bare | {"status": {"phase": "Exporting"}}, subresource="status")
    assert live["status"] == {"phase": "Exporting", "progress": {"step": 3}}
    assert live["metadata"]["generation"] == made["metadata"]["generation"]
    assert live["spec"]["model"] == job["spec"]["model"]


@pytest.mark.parametrize("running", ["real"], indirect=True)
async def test_owner_of_a_condition_is_kept_and_not_of_its_fields(api, job):
    """The fields would be half of what the API server keeps of a job, and handles at each write."""
    made = await api.create(job)
    head = {part: made["metadata"][part] for part in ("name", "namespace", "uid")}
    bare = {"apiVersion": job["apiVersion"], "kind": job["kind"], "metadata": head}
    now = made["metadata"]["creationTimestamp"]
    said = {"type": "Admitted", "status": "True", "reason": "Fits", "lastTransitionTime": now}
    live = await api.apply(bare | {"status": {"conditions": [said]}}, subresource="status")
    (ours,) = [m for m in live["metadata"]["managedFields"] if m.get("subresource") == "status"]
    owned = ours["fieldsV1"]["f:status"]["f:conditions"]
    assert owned == {'k:{"type":"Admitted"}': {}}


async def test_discovery_knows_what_is_served(api):
    assert await api.serves(kube.FINETUNEJOB)
    absent = kube.Kind("nowhere.example/v1", "Nothing", "nothings")
    if isinstance(api, MemoryCluster):
        api.absent.add(absent)
    assert not await api.serves(absent)


@pytest.mark.parametrize("running", ["real"], indirect=True)
async def test_an_unknown_field_is_refused_by_name(api, job):
    with pytest.raises(kube.Invalid, match="spec.lerningRate"):
        await api.create(job | {"spec": job["spec"] | {"lerningRate": 1}})
    with pytest.raises(kube.ClusterError, match="lerningRate"):
        await api.apply(job | {"spec": job["spec"] | {"lerningRate": 1}})
