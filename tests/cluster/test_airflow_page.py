"""The status page on a real API server: what it lists, page by page, and with whose rights."""

import json
import re
import time
import warnings

import httpx
import pytest

from fairlead_airflow import looking
from fairlead_api import names

with warnings.catch_warnings():  # upstream's, of what it imports
    warnings.simplefilter("ignore")
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user

    from fairlead_airflow import statuspage

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A machine with other work answers all the same."""
    monkeypatch.setattr(looking, "LONGEST_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def ask(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)
    create_auth_manager()
    app = statuspage.make()
    user = SimpleAuthManagerUser(username="u", role="admin")
    app.dependency_overrides[get_user] = lambda: user

    async def get(path="/", **query):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            return await client.get(path, params=query or None)

    return get


def service(team, name, **spec):
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": name, "namespace": team},
        "spec": {"model": {"uri": "pvc://work/base"}} | spec,
    }


def apply(kubectl, *bodies):
    listed = {"apiVersion": "v1", "kind": "List", "items": bodies}
    kubectl("apply", "-f", "-", stdin=json.dumps(listed))


def tell(kubectl, team, resource, **status):
    place = ("-n", team, "--subresource=status", "--type=merge")
    kubectl("patch", resource, *place, "-p", json.dumps({"status": status}))


async def test_page_shows_progress_and_where_a_service_answers(ask, kubectl, team, job):
    body = job()
    body["metadata"] = {"name": "units", "namespace": team}
    del body["status"]
    apply(kubectl, body, service(team, "units"))
    progress = {"step": 5, "totalSteps": 10, "percent": 50, "loss": 0.25, "eta": "1m30s"}
    tell(kubectl, team, "finetunejobs.fairlead.dev/units", phase="Training", progress=progress)
    url = "http://units.team.example"
    tell(kubectl, team, "modelservices.fairlead.dev/units", phase="Ready", readyReplicas=1, url=url)
    text = (await ask()).text
    for shown in ("Training", "5/10", "0.25", "1m30s", "Ready", "1/1", f'href="{url}"'):
        assert shown in text


async def test_page_goes_through_all_services_once(ask, kubectl, team):
    apply(kubectl, *(service(team, f"service-{number}") for number in range(7)))
    seen, answer = [], await ask(limit=3)
    while True:
        seen += re.findall(r">(service-\d)</a>", answer.text)
        following = re.search(r'href="([^"]*)">More services', answer.text)
        if following is None:
            break
        answer = await ask(f"/{following[1].replace('&amp;', '&')}")
    assert seen == [f"service-{number}" for number in range(7)]
    assert "Back to the first page" in answer.text


async def test_a_token_that_means_nothing_is_told_on_the_page(ask):
    answer = await ask(jobs="bm90IGEgdG9rZW4")
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text


async def test_resource_page_is_its_report(ask, kubectl, team, make_condition):
    apply(kubectl, service(team, "units"))
    condition = make_condition("Ready", "False", "NoReplicasReady", "no pod is ready")
    tell(kubectl, team, "modelservices.fairlead.dev/units", conditions=[condition])
    answer = await ask("/resource", kind="ModelService", name="units")
    assert "no pod is ready" in answer.text
    assert 'id="report"' in answer.text


async def test_resource_that_is_gone_is_said(ask, team):
    answer = await ask("/resource", kind="FineTuneJob", name="units")
    assert answer.status_code == 404
    assert f"There is no FineTuneJob units in namespace {team}" in answer.text


@pytest.fixture
def as_nobody(powerless, monkeypatch):
    """A connection `nobody` with a token of an account that has no rights; gives the token."""
    described = json.dumps({"conn_type": "fairlead", "extra": {"kube_config": powerless}})
    monkeypatch.setenv("AIRFLOW_CONN_NOBODY", described)
    return powerless["users"][0]["user"]["token"]


async def test_what_the_connection_may_not_see_is_named(ask, team, as_nobody):
    answer = await ask(connection="nobody", namespace=team)
    refusals = re.findall(r'role="alert">([^<]*)', answer.text)
    assert len(refusals) == 2
    assert "forbidden" in refusals[0] and "list resource &#34;finetunejobs" in refusals[0]
    assert "forbidden" in refusals[1] and "list resource &#34;modelservices" in refusals[1]
    assert as_nobody not in answer.text


async def test_who_may_see_services_only_sees_them(ask, kubectl, team, as_nobody):
    apply(kubectl, service(team, "units"))
    may = ("--verb=list", f"--resource=modelservices.{names.GROUP}")
    kubectl("create", "role", "looks", "-n", team, *may)
    holder = f"--serviceaccount={team}:nobody"
    kubectl("create", "rolebinding", "looks", "-n", team, "--role=looks", holder)
    answer = await ask(connection="nobody", namespace=team)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while answer.text.count('role="alert"') > 1:  # a new binding counts after a moment
        assert time.monotonic() < deadline, answer.text
        answer = await ask(connection="nobody", namespace=team)
    assert "units" in answer.text
    assert "No jobs here" not in answer.text
    [refusal] = re.findall(r'role="alert">([^<]*)', answer.text)
    assert "finetunejobs" in refusal
