"""Airflow loads the plugin lightly; its page asks Airflow's login, and survives bad clusters.

No cluster here: what a real API server answers is seen in tests/cluster/test_airflow_page.py.
"""

import json
import re
import socket
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import urljoin

import httpx
import pytest
from airflow import plugins_manager

from fairlead_airflow import looking, naming, overview, plugin, provider

with warnings.catch_warnings():  # upstream's, of what it imports
    warnings.simplefilter("ignore")
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user

    from fairlead_airflow import statuspage

NOW = datetime(2026, 1, 1, 2, tzinfo=UTC)
TI = SimpleNamespace(dag_id="daily", task_id="train", run_id="run-1", map_index=None)


def test_airflow_finds_the_plugin_by_its_entry_point_once():
    found = [each for each in plugins_manager._get_plugins()[0] if each.name == "fairlead"]
    assert [type(each).__name__ for each in found] == ["FairleadPlugin"]
    assert plugins_manager.get_fastapi_plugins()[0][0]["url_prefix"] == "/fairlead"
    assert provider.get_provider_info()["plugins"][0]["plugin-class"] == provider.PLUGIN


def test_plugin_is_serialised_as_airflows_own_api_does():
    (told,) = plugins_manager.get_plugin_info()
    assert told["fastapi_apps"][0]["app"].endswith("StatusPage")
    assert told["external_views"][0]["url_route"] == "fairlead"


@pytest.mark.parametrize("base", ["http://there/", "http://there/airflow/"], ids=["root", "path"])
def test_page_is_below_where_airflow_is(base):
    """Airflow's UI says where it is by <base>, by which browsers read the frame's address."""
    (view,) = plugin.FairleadPlugin.external_views
    assert urljoin(base, view["href"]) == f"{base}fairlead/"


def test_plugin_loads_neither_the_api_server_nor_a_client():
    code = (
        "import sys, fairlead_airflow.plugin;"
        "heavy = {'kubernetes', 'kubernetes_asyncio', 'airflow.api_fastapi.app', 'fastapi'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_macro_names_the_resource_as_the_operator_does():
    key = naming.TaskKey("daily", "train", "run-1")
    assert plugin.resource_name(TI) == naming.resource_name(key)


def test_macro_tells_the_artifact_or_what_is_missing():
    assert plugin.artifact_uri({"artifact": {"uri": "pvc://work/a"}}) == "pvc://work/a"
    with pytest.raises(ValueError, match="did the task that trains run"):
        plugin.artifact_uri({"artifact": None})


def as_user(app, role):
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="u", role=role)


@pytest.fixture
def app():
    create_auth_manager()
    return statuspage.make()


@pytest.fixture
def ask(app):
    async def get(path="/", **query):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            return await client.get(path, params=query or None)

    return get


@pytest.fixture
def connect(monkeypatch):
    def described(conn_id="fairlead_default", conn_type="fairlead", **extra):
        told = json.dumps({"conn_type": conn_type, "extra": extra})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", told)

    return described


def kubeconfig(server="https://127.0.0.1:9", **user):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user or {"token": "s3cret"}}],
    }


@pytest.mark.parametrize(
    "path", ["/", "/?namespace=Team", "/resource?kind=FineTuneJob&name=a", "/resource", "/docs"]
)
async def test_nobody_is_shown_anything_without_a_login(ask, path):
    assert (await ask(path)).status_code in (401, 404)


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("user", 403), ("op", 200)])
async def test_page_is_for_who_may_read_the_connection(app, ask, connect, role, status):
    connect(kube_config=kubeconfig())
    as_user(app, role)
    assert (await ask()).status_code == status


def test_page_gives_a_cluster_less_than_ten_seconds():
    assert looking.LONGEST_SECONDS < 10


async def test_cluster_that_is_away_is_said(app, ask, connect):
    connect(kube_config=kubeconfig())
    as_user(app, "admin")
    answer = await ask()
    assert answer.status_code == 200
    assert "The cluster of connection fairlead_default" in answer.text
    assert "s3cret" not in answer.text


async def test_cluster_that_never_answers_is_given_up(
    app, ask, connect, silent_server, monkeypatch
):
    monkeypatch.setattr(looking, "LONGEST_SECONDS", 0.5)
    connect(kube_config=kubeconfig(f"http://127.0.0.1:{silent_server}"))
    as_user(app, "admin")
    answer = await ask()
    assert "doesn&#39;t answer within" in answer.text


@pytest.fixture
def silent_server():
    """A stand-in for an API server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "user",
    [
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch"}},
        {"auth-provider": {"name": "gcp", "config": {"cmd-path": "touch"}}},
    ],
    ids=["exec", "auth-provider"],
)
async def test_a_connections_program_is_never_run(app, ask, connect, tmp_path, user):
    ran = tmp_path / "ran"
    if "exec" in user:
        user["exec"]["args"] = [str(ran)]
    connect(kube_config=kubeconfig(**user))
    as_user(app, "admin")
    answer = await ask()
    assert "logs in by a program" in answer.text
    assert not ran.exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"kube_config": "{ not yaml: ["}, "can&#39;t be used"),
        ({"kube_config": "just text"}, "can&#39;t be used"),
        ({"kube_config": {"kind": "Config"}}, "can&#39;t be used"),
        ({"kube_config_path": "/no/such/file"}, "no kubeconfig"),
        ({"kube_config": kubeconfig(), "cluster_context": "other"}, "can&#39;t be used"),
        ({"in_cluster": True}, "can&#39;t be used"),
    ],
    ids=["not yaml", "no mapping", "empty", "no file", "no context", "not in a pod"],
)
async def test_a_broken_connection_is_named_on_the_page(app, ask, connect, extra, said):
    connect(**extra)
    as_user(app, "admin")
    answer = await ask()
    assert answer.status_code == 200
    assert said in answer.text
    assert "fairlead_default" in answer.text


async def test_a_connection_of_another_type_is_not_used(app, ask, connect):
    connect("warehouse", "postgres")
    as_user(app, "admin")
    assert "is of type postgres" in (await ask(connection="warehouse")).text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"namespace": "../kube-system"}, "namespace “../kube-system”"),
        ({"namespace": "Team"}, "namespace “Team” can&#39;t be: lower-case letters"),
        ({"limit": "100000"}, "limit “100000” can&#39;t be: a number from 1 to 500"),
        ({"connection": "a/b"}, "connection “a/b”"),
        ({"jobs": "t" * 5000}, "jobs “ttt"),
    ],
    ids=["path", "capital letter", "too many", "connection", "token"],
)
async def test_a_query_that_means_something_else_is_refused_by_its_field(app, ask, query, said):
    as_user(app, "admin")
    answer = await ask(**query)
    assert answer.status_code == 422
    assert said in answer.text
    assert len(answer.text) < 10_000
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    boxes = {"connection": "fairlead_default", "namespace": ""} | query
    assert all(f'value="{boxes[name]}"' in answer.text for name in ("connection", "namespace"))


async def test_a_refused_resource_is_named_and_escaped(app, ask):
    as_user(app, "admin")
    answer = await ask("/resource", kind="Pod", name="<b>")
    assert answer.status_code == 422
    assert "kind “Pod” can&#39;t be: FineTuneJob or ModelService" in answer.text
    assert "name “&lt;b&gt;” can&#39;t be: lower-case letters" in answer.text
    assert "name is missing" in (await ask("/resource", kind="FineTuneJob")).text


async def test_who_may_not_read_the_connection_is_refused_before_the_query(app, ask):
    as_user(app, "viewer")
    assert (await ask(namespace="Team")).status_code == 403


def test_boxes_take_what_the_page_takes():
    """Browsers read a pattern by the rules of JavaScript's v flag: there, a bare - is an error."""
    text = statuspage.page("overview.html", {"trouble": "none"}).body.decode()
    patterns = re.findall(r'name="(\w+)" [^>]*pattern="([^"]+)"', text)
    assert [name for name, _ in patterns] == ["connection", "namespace"]
    for name, pattern in patterns:
        assert re.fullmatch(pattern, "a-team1")
        assert not re.fullmatch(pattern, "a/b"), name
        assert not re.search(r"(\[|[^\\a-z0-9A-Z])-", pattern), name


async def test_two_requests_at_once_get_each_their_own_cluster(app, ask, connect):
    """The clients' default settings are shared by the process: nobody may write to them."""
    from kubernetes_asyncio.client.configuration import Configuration

    before = Configuration.get_default_copy().host
    connect(kube_config=kubeconfig("https://127.0.0.1:9"))
    as_user(app, "admin")
    await ask()
    assert Configuration.get_default_copy().host == before


def test_job_tells_progress_and_gpu_hours(job):
    body = job(
        phase="Running",
        progress={"step": 5, "totalSteps": 10, "percent": 50, "loss": 0.12345, "eta": "1m"},
        stages=[{"name": "Train", "state": "Running", "startTime": "2026-01-01T00:00:00Z"}],
    )
    body["spec"] |= {"numNodes": 2, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 4}}}
    row = overview.row(body, NOW)
    assert (row.step, row.percent, row.loss, row.eta) == ("5/10", 50, "0.1235", "1m")
    assert row.gpu_hours == "16.00"


def test_gpu_hours_end_with_the_training(job):
    stage = {
        "name": "Train",
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:30:00Z",
    }
    body = job(stages=[stage])
    body["spec"] |= {"resourcesPerNode": {"limits": {"nvidia.com/gpu": 1}}}
    assert overview.row(body, NOW + timedelta(days=9)).gpu_hours == "0.50"


@pytest.mark.parametrize("stages", [[], [{"name": "Train"}]], ids=["not begun", "without a time"])
def test_no_gpu_hours_before_training(job, stages):
    body = job(stages=stages)
    body["spec"] |= {"resourcesPerNode": {"limits": {"nvidia.com/gpu": 1}}}
    assert overview.row(body, NOW).gpu_hours == ""


def test_what_another_version_wrote_is_a_row_that_says_so(job):
    body = job()
    body["spec"]["trainer"] = {"type": 7}
    row = overview.row(body, NOW)
    assert (row.name, row.phase) == ("units", "Unreadable")
    assert "trainer" in row.message


def test_page_escapes_what_a_resource_says(job, service):
    hostile = "<script>alert(1)</script>"
    rows = [overview.row(job(phase="Failed", message=hostile), NOW)]
    bad = service(url="javascript:alert(1)", model={"uri": hostile})
    told = {"jobs": rows, "services": [overview.row(bad, NOW)], "link": lambda *_: "x"}
    answer = statuspage.page("overview.html", told)
    text = answer.body.decode()
    assert "<script" not in text
    assert 'href="javascript' not in text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("template", ["overview.html", "resource.html"])
def test_pages_name_no_other_site_and_know_the_dark(template):
    text = statuspage.page(template, {"trouble": "none"}).body.decode()
    assert "http://" not in text
    assert "https://" not in text
    assert "color-scheme: light dark" in text


@pytest.mark.parametrize("given", ["{}", {"a": 1}], ids=["text", "mapping"])
def test_a_kubeconfig_may_be_text_or_a_mapping(given):
    assert isinstance(looking.json_or_yaml(given), dict)
