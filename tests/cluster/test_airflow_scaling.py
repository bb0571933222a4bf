"""A task scales a real ModelService up and back; the test writes its status for the operator."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from fairlead_airflow import hooks, operators, scaletrigger
from fairlead_api import names

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
CONTEXT = {"ti": SimpleNamespace(dag_id="daily", task_id="scale_up", run_id="run-1", map_index=-1)}


@pytest.fixture(autouse=True)
def connection(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


@pytest.fixture
def there(connection):
    return hooks.FairleadHook()


@pytest.fixture
def service(kubectl, team):
    """A ModelService that somebody made, of one replica."""
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "units", "namespace": team},
        "spec": {"model": {"uri": "pvc://work/base"}},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    return hooks.Target(names.MODELSERVICE, team, "units")


@pytest.fixture
def tell(kubectl, there):
    """Writes how many replicas are ready, for the version that stands."""

    def told(of, ready):
        generation = there.read(of)["metadata"]["generation"]
        status = {"observedGeneration": generation, "readyReplicas": ready, "replicas": ready}
        place = ("-n", of.namespace, "--subresource=status", "--type=merge")
        patch = json.dumps({"status": status})
        kubectl("patch", f"{of.plural}.{names.GROUP}", of.name, *place, "-p", patch)

    return told


def scale(**changes):
    return operators.ScaleOperator(task_id="scale", name="units", **changes)


def deferred(operator):
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(CONTEXT)
    return caught.value


def state(there, of):
    """(replicas, what is noted) now."""
    body = there.read(of)
    annotations = body["metadata"].get("annotations", {})
    return body["spec"]["replicas"], annotations.get(names.ANNOTATION_REPLICAS)


async def fire(trigger):
    (event,) = [event async for event in trigger.run()]
    return event.payload


async def test_scaling_up_waits_for_the_replicas_and_restoring_puts_them_back(there, service, tell):
    deferral = deferred(scale(at_least="3"))
    assert state(there, service) == (3, "1")
    path, arguments = deferral.trigger.serialize()
    assert path == "fairlead_airflow.scaletrigger.ScaleTrigger"
    firing = asyncio.create_task(fire(scaletrigger.ScaleTrigger(**arguments)))
    await asyncio.to_thread(tell, service, 1)
    await asyncio.to_thread(tell, service, 3)
    event = await asyncio.wait_for(firing, PATIENCE_SECONDS)
    assert event["message"] == "3 of 3 replicas ready"
    result = scale(at_least="3").execute_complete(CONTEXT, event, **deferral.kwargs)
    assert (result["name"], result["replicas"]) == ("units", 3)
    assert scale(restores=True).execute(CONTEXT)["replicas"] == 1
    assert state(there, service) == (1, None)
    scale(restores=True).execute(CONTEXT)
    assert state(there, service) == (1, None)


def test_scaling_up_that_is_run_again_restores_the_first_count(there, service):
    deferred(scale(at_least=3))
    deferred(scale(at_least=3))
    deferred(scale(at_least=4))
    assert state(there, service) == (4, "1")
    scale(restores=True).execute(CONTEXT)
    assert state(there, service) == (1, None)


def test_service_that_has_more_is_left_as_it_is(there, service, tell):
    deferred(scale(replicas=5))
    tell(service, 5)
    assert scale(at_least=3).execute(CONTEXT)["replicas"] == 5
    scale(restores=True).execute(CONTEXT)
    assert state(there, service) == (5, None)


def test_restoring_spares_what_somebody_scaled_since(there, service, kubectl):
    deferred(scale(at_least=3))
    where = ("-n", service.namespace, f"{service.plural}.{names.GROUP}/{service.name}")
    kubectl("scale", *where, "--replicas=8")
    scale(restores=True).execute(CONTEXT)
    assert state(there, service) == (8, None)


def test_restoring_a_service_that_is_gone_is_fine():
    assert scale(restores=True).execute(CONTEXT) == {}


def test_scaling_a_service_that_is_not_there_fails():
    with pytest.raises(AirflowException, match="modelservice/units is not there"):
        scale(replicas=2).execute(CONTEXT)


def test_change_of_another_between_look_and_write_is_looked_at_again(
    there, service, kubectl, monkeypatch
):
    read = hooks.FairleadHook.read
    pending = ["touched"]

    def changed_after(hook, of):
        found = read(hook, of)
        if pending:
            where = ("-n", of.namespace, f"{of.plural}.{names.GROUP}/{of.name}")
            kubectl("label", *where, f"{pending.pop()}=yes")
        return found

    monkeypatch.setattr(hooks.FairleadHook, "read", changed_after)
    deferred(scale(at_least=2))
    assert state(there, service) == (2, "1")


def test_service_that_is_made_again_by_its_manifest_keeps_its_replicas(there, service, team):
    deferred(scale(at_least=3))
    serve = operators.ServeOperator(
        task_id="serve", name="units", manifest={"spec": {"model": {"uri": "pvc://work/new"}}}
    )
    deferred(serve)
    assert there.read(service)["spec"]["model"]["uri"] == "pvc://work/new"
    assert state(there, service) == (3, "1")


def test_killed_task_leaves_the_service(there, service):
    operator = scale(replicas=2)
    trigger = deferred(operator).trigger
    operator.on_kill()
    asyncio.run(trigger.on_kill())
    assert state(there, service) == (2, None)


def test_number_that_is_none_fails_for_good_with_its_field(service):
    with pytest.raises(AirflowFailException, match="at_least: must be a number of replicas"):
        scale(at_least="many").execute(CONTEXT)


@pytest.mark.parametrize(
    "given", [{}, {"replicas": 1, "at_least": 1}, {"at_least": 1, "restores": True}], ids=str
)
def test_operator_wants_one_of_the_three(given):
    with pytest.raises(ValueError, match="give one of replicas, at_least and restores=True"):
        scale(**given)
