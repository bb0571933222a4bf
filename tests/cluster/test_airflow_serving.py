"""A service must stay Ready for its grace period; the test writes its status."""

import asyncio
import json
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from fairlead_airflow import gracetrigger, hooks, operators, triggers
from fairlead_api import names

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
CONTEXT = {"ti": SimpleNamespace(dag_id="deploy", task_id="serve", run_id="run-1", map_index=-1)}
MANIFEST = {"spec": {"model": {"uri": "pvc://work/base"}}}
ENDLESS = timedelta(hours=1)


@pytest.fixture(autouse=True)
def connection(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


@pytest.fixture
def there(connection):
    return hooks.FairleadHook()


@pytest.fixture
def service(team):
    return hooks.Target(names.MODELSERVICE, team, "units")


@pytest.fixture
def tell(kubectl, there):
    """Writes whether the service is Ready, for the version that stands."""

    def told(of, is_ready):
        condition = {
            "type": "Ready",
            "status": str(is_ready),
            "reason": "ReplicasReady" if is_ready else "NoReplicasReady",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = {
            "observedGeneration": there.read(of)["metadata"]["generation"],
            "conditions": [condition],
            "url": "http://units.team.fairlead.local",
        }
        place = ("-n", of.namespace, "--subresource=status", "--type=merge")
        patch = json.dumps({"status": status})
        kubectl("patch", f"{of.plural}.{names.GROUP}", of.name, *place, "-p", patch)

    return told


def serve(grace, **changes):
    return operators.ServeOperator(
        task_id="serve", name="units", manifest=MANIFEST, grace_period=grace, **changes
    )


def deferred(operator):
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(CONTEXT)
    return caught.value


async def fire(trigger):
    (event,) = [event async for event in trigger.run()]
    return event.payload


async def test_service_that_stays_ready_is_handed_on(service, tell):
    deferral = deferred(serve(timedelta(seconds=2)))
    path, arguments = deferral.trigger.serialize()
    assert path == "fairlead_airflow.gracetrigger.GraceTrigger"
    trigger = gracetrigger.GraceTrigger(**arguments)
    firing = asyncio.create_task(fire(trigger))
    await asyncio.to_thread(tell, service, True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while trigger.longest_look() > 2:
            assert not firing.done()
            await asyncio.sleep(0.05)
    event = await asyncio.wait_for(firing, PATIENCE_SECONDS)
    result = serve(timedelta(seconds=2)).execute_complete(CONTEXT, event, **deferral.kwargs)
    assert result["url"] == "http://units.team.fairlead.local"


async def test_service_that_is_lost_in_its_grace_period_fails_the_task(service, tell):
    deferral = deferred(serve(ENDLESS))
    firing = asyncio.create_task(fire(deferral.trigger))
    await asyncio.to_thread(tell, service, True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while deferral.trigger._grace.left() > ENDLESS.total_seconds():
            await asyncio.sleep(0.05)
    await asyncio.to_thread(tell, service, False)
    event = await asyncio.wait_for(firing, PATIENCE_SECONDS)
    with pytest.raises(AirflowException, match=r"UnreadyInGracePeriod: it was ready for \d+ s of"):
        serve(ENDLESS).execute_complete(CONTEXT, event, **deferral.kwargs)


def test_grace_period_holds_in_the_worker_too(service, tell, there):
    results = []
    operator = serve(timedelta(milliseconds=100), deferrable=False)
    waiting = threading.Thread(target=lambda: results.append(operator.execute(CONTEXT)))
    waiting.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while there.read(service) is None:
        assert time.monotonic() < deadline
        threading.Event().wait(0.1)
    tell(service, True)
    waiting.join(PATIENCE_SECONDS)
    assert results[0]["name"] == "units"


def test_without_a_grace_period_the_common_trigger_waits(service):
    trigger = deferred(serve(timedelta(0))).trigger
    assert type(trigger) is triggers.ResourceTrigger


def test_where_it_answers_is_read_from_its_status(service, tell, there):
    deferred(serve(timedelta(0)))
    tell(service, True)
    found = there.endpoint(service)
    assert (found.url, found.model) == ("http://units.team.fairlead.local", "units")


@pytest.mark.parametrize(
    "apply", [("apply",), ("apply", "--server-side")], ids=["client", "server"]
)
def test_service_that_others_made_gets_another_source(service, there, kubectl, apply):
    theirs = {
        "apiVersion": names.API_VERSION,
        "kind": service.kind,
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": {"model": {"fineTuneJobRef": {"name": "tune"}}, "replicas": 2},
    }
    kubectl(*apply, "-f", "-", stdin=json.dumps(theirs))
    deferred(serve(timedelta(0)))
    spec = there.read(service)["spec"]
    assert (spec["model"], spec["replicas"]) == (MANIFEST["spec"]["model"], 2)
