"""The operator's process on a real API server: killed, asked to leave, refused."""

import asyncio
import json
import os
import signal
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest

from fairlead_api import metrics, names
from fairlead_chaos import crds, lifeline
from fairlead_operator import kube
from fairlead_operator.store import Key

pytestmark = pytest.mark.cluster

ASK_SECONDS = 120  # a report's answer waits for one of the API server


def job(team, name="tune"):
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": name, "namespace": team},
        "spec": {
            "model": {"uri": "pvc://work/base"},
            "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "work"},
        },
    }


@pytest.fixture
def at_rest(api, team, until):
    """Waits until the first stage's pod was made and told of; returns what stands then."""

    async def waited(name="tune"):
        async def told():
            live = await api.get(kube.FINETUNEJOB, team, name)
            stage = names.stage_job_name(name, "prepare", 1)
            batch = await api.get(kube.JOB, team, stage)
            stages = (live.get("status") or {}).get("stages") or [{}]
            return stages[0].get("state") == "Running" and batch["status"].get("active") and live

        live = await until(told, f"{name} prepares")
        children = [
            child["metadata"]["resourceVersion"]
            for kind in (kube.JOB, kube.CONFIG_MAP, kube.SERVICE)
            for child in await api.list_heads(kind, team)
        ]
        return live["metadata"]["resourceVersion"], sorted(children)

    return waited


async def test_a_killed_operator_finds_everything_and_writes_nothing(
    api, team, start, at_rest, writes
):
    began = datetime.now(UTC)
    first = start()
    await first.leading()
    await api.create(job(team))
    before = await at_rest()
    first.stop(signal.SIGKILL)
    killed_at = datetime.now(UTC)
    second = start("one")  # as the same pod's next container: the Lease is its own
    await second.leading()

    await second.passed()
    assert await at_rest() == before
    assert writes(began), "the audit log does not show the operator's writes"
    assert writes(killed_at) == []


async def test_a_leader_that_is_asked_to_leave_hands_over_at_once(api, team, start):
    one = start("one")
    await one.leading()
    assert one.stop(signal.SIGTERM) == 0
    lease = await api.get(kube.LEASE, team, "fairlead-operator")
    assert lease["spec"]["holderIdentity"] == ""


async def test_a_leader_whose_lease_is_taken_leaves_and_leads_again_after_a_restart(
    kubectl, team, start, until
):
    one = start("one")
    await one.leading()
    taken = {"spec": {"holderIdentity": "another"}}
    kubectl("patch", "lease/fairlead-operator", "-n", team, "--type=merge", "-p", json.dumps(taken))

    async def begun_again():
        return one.num_lives == 2

    await until(begun_again, "it is restarted")
    one.leases_lost.remove(one.name)  # not for want of time
    await one.leading()


async def test_children_go_with_their_resource_though_no_operator_runs(
    api, team, start, at_rest, until
):
    one = start("one")
    await one.leading()
    await api.create(job(team))
    await at_rest()
    one.stop(signal.SIGKILL)
    live = await api.get(kube.FINETUNEJOB, team, "tune")
    assert "finalizers" not in live["metadata"]
    assert "annotations" not in live["metadata"]
    await api.delete(kube.FINETUNEJOB, team, "tune", live["metadata"]["uid"])

    async def gone():
        kinds = (kube.JOB, kube.POD, kube.CONFIG_MAP, kube.SERVICE)
        return not [child for kind in kinds for child in await api.list_heads(kind, team)]

    await until(gone, "the garbage collector took the children")


async def test_a_refused_write_stands_in_the_status_until_it_passes(
    api, team, start, kubectl, at_rest, until
):
    quota = {"hard": {"count/jobs.batch": "0"}}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    kubectl("apply", "-n", team, "-f", "-", stdin=json.dumps(body | {"spec": quota}))
    is_counted = ("--for=jsonpath={.status.hard}", "--timeout=180s")
    kubectl("wait", "-n", team, *is_counted, "resourcequota/none")  # before, others are its words
    one = start("one")
    await one.leading()
    await api.create(job(team))
    key = Key(kube.FINETUNEJOB, team, "tune")

    async def refused():
        live = await api.get(key.kind, team, "tune")
        found = (live.get("status") or {}).get("conditions") or []
        return next((c for c in found if c["type"] == "ReconcileError"), None)

    condition = await until(refused, "the refusal is told")
    assert condition["reason"] == "Refused"
    assert "exceeded quota: none" in condition["message"]
    kubectl("delete", "resourcequota", "none", "-n", team)
    await at_rest()
    assert await refused() is None


def report(replica, authority, path, token):
    """Post a report as KubeflowCallback does; returns the answer's code."""
    metrics_told = [{"name": "current_step", "value": "3"}, {"name": "loss", "value": "2.5"}]
    body = {"trainerStatus": {"progressPercentage": 30, "metrics": metrics_told}}
    request = urllib.request.Request(
        f"https://localhost:{replica.ports['progress']}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    context = ssl.create_default_context(cadata=authority)
    try:
        with urllib.request.urlopen(request, timeout=ASK_SECONDS, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


async def test_a_pods_own_token_reports_progress_and_no_other_does(
    api, team, start, kubectl, at_rest, until
):
    one = start("one")
    await one.leading()
    for name in ("tune", "rival"):
        await api.create(job(team, name))
        await at_rest(name)
    run = await api.get(kube.CONFIG_MAP, team, names.run_config_name("tune"))
    authority, path = run["data"][names.CA_KEY], names.progress_path(team, "tune")
    pods = {}
    for name in ("tune", "rival"):
        (head,) = await api.list_heads(kube.POD, team, {names.LABEL_FINETUNEJOB: name})
        pods[name] = head["metadata"]["name"]

    def token(of, audience=names.PROGRESS_AUDIENCE):
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={pods[of]}")
        made = kubectl("create", "token", "default", "-n", team, f"--audience={audience}", *bound)
        return made.strip()

    def post(credential):
        return asyncio.to_thread(report, one, authority, path, credential)

    assert await post(token("tune")) == 200
    assert await post(token("rival")) == 403
    assert await post(token("tune", "https://kubernetes.default.svc")) == 401
    assert await post("made-up") == 401

    async def landed():
        live = await api.get(kube.FINETUNEJOB, team, "tune")
        return live["status"].get("progress") and live

    live = await until(landed, "the progress is written")
    assert (live["status"]["progress"]["step"], live["status"]["progress"]["loss"]) == (3, 2.5)
    managers = {entry["manager"] for entry in live["metadata"]["managedFields"]}
    assert {names.MANAGER_OPERATOR, names.MANAGER_PROGRESS} <= managers
    rival = await api.get(kube.FINETUNEJOB, team, "rival")
    assert "progress" not in rival["status"]


def loose_crd(plural, kind):
    """A CRD of the Gateway API without its schema: enough to be served, watched and written."""
    group = kube.HTTP_ROUTE.group
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": kube.HTTP_ROUTE.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    approval = {"api-approved.kubernetes.io": "unapproved, for tests"}
    labels = {crds.mark(f"{lifeline.name_of(os.getpid())}-process"): ""}  # if this one is killed
    return {
        "apiVersion": kube.CRD.api_version,
        "kind": kube.CRD.kind,
        "metadata": {"name": f"{plural}.{group}", "labels": labels, "annotations": approval},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower()},
            "versions": [version],
        },
    }


@pytest.fixture
def gateway_api(kubectl):
    """Brings the Gateway API and takes it away again, both when told to."""
    loose = [loose_crd(kind.plural, kind.kind) for kind in (kube.HTTP_ROUTE, kube.GATEWAY)]
    found = [entry["metadata"]["name"] for entry in loose]
    standing = kubectl("get", "crd", "--show-labels")
    assert kube.HTTP_ROUTE.group not in standing, f"a lab lives, or it is somebody's:\n{standing}"

    def appear():
        kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": loose}),
        )
        kubectl("wait", "--for=condition=Established", "--timeout=180s", "crd", *found)

    def vanish():
        kubectl("delete", "crd", "--ignore-not-found", *found)

    yield appear, vanish
    vanish()


def service(team):
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "serve", "namespace": team},
        "spec": {"model": {"uri": "pvc://work/base"}},
    }


async def test_gateway_api_may_come_and_go_while_the_operator_runs(
    api, team, start, kubectl, gateway_api, until
):
    appear, vanish = gateway_api
    one = start("one", FAIRLEAD_GATEWAY=f"{team}/edge")
    await one.leading()
    await api.create(service(team))

    async def reason():
        live = await api.get(kube.MODELSERVICE, team, "serve")
        found = (live.get("status") or {}).get("conditions") or []
        return next((c["reason"] for c in found if c["type"] == "RouteReady"), None)

    async def absent():
        return await reason() == "GatewayAPIAbsent"

    async def routed():
        return await api.get(kube.HTTP_ROUTE, team, "serve")

    async def counted():  # it is down for a moment where it lost its lease
        failed = one.sample(f"{metrics.RECONCILES}_total", outcome="failed")
        return None if failed is None else (failed,)

    await until(absent, "the absence is told")
    assert await until(counted, "it tells what failed") == (0,)
    appear()
    route = await until(routed, "the route is made")
    await api.delete(kube.HTTP_ROUTE, team, "serve", route["metadata"]["uid"])
    await until(routed, "the deletion was noticed by a watch that began late")
    vanish()
    replicas = [one]

    async def absent_again():
        if replicas[-1].has_ended():  # its watch ended: a restart is the way out
            replicas.append(start("one", FAIRLEAD_GATEWAY=f"{team}/edge"))
        return await absent()

    await until(absent_again, "the absence is told again")
