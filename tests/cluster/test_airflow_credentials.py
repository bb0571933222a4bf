"""Credentials run out and logins fail, against a real API server; who waits goes on waiting."""

import asyncio
import base64
import contextlib
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kubernetes_asyncio.config import incluster_config

from fairlead_airflow import asynchooks, hooks, stream, watch, workerhook
from fairlead_api import names

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
PLUGIN = """#!/bin/sh
export LOGS_IN_FROM={folder}
echo run >> {folder}/runs
if [ -e {folder}/fails ]; then echo 'the vault is sealed' >&2; exit 3; fi
if [ -e {folder}/hangs ]; then touch {folder}/hung; sleep 600; fi
printf '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
printf '"status": {{"token": "%s"}}}}' "$(cat {folder}/token)"
"""


@pytest.fixture
def server(cluster):
    """Address and authority of the API server, as the administrator's kubeconfig has them."""
    return yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]


@pytest.fixture
def account(kubectl, team):
    """Makes the team's service account anew; tokens of the one before are good no more."""

    def made():
        kubectl("-n", team, "delete", "serviceaccount", "airflow", "--ignore-not-found")
        kubectl("-n", team, "create", "serviceaccount", "airflow")
        return kubectl("-n", team, "create", "token", "airflow").strip()

    binding = ("create", "rolebinding", "airflow", "--clusterrole=cluster-admin")
    kubectl("-n", team, *binding, f"--serviceaccount={team}:airflow")
    asked = {"namespace": team, "group": names.GROUP, "resource": "finetunejobs", "verb": "watch"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{team}:airflow", "resourceAttributes": asked},
    }
    answer = ("create", "-f", "-", "-o", "jsonpath={.status.allowed}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while kubectl(*answer, stdin=json.dumps(review)) != "true":  # a binding counts after a moment
        assert time.monotonic() < deadline
    return made


@pytest.fixture
def connect(server, team, tmp_path, monkeypatch):
    """Makes an Airflow connection of a user as a kubeconfig has it; returns its file."""

    def made(conn_id, user):
        file = tmp_path / f"{conn_id}.yaml"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        file.write_text(json.dumps(config))
        extra = {"kube_config_path": str(file), "namespace": team}
        described = json.dumps({"conn_type": "fairlead", "extra": extra})
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", described)
        return file

    return made


@pytest.fixture
def plugin(tmp_path, account):
    """An exec plugin that can be told to fail or hang, and counts its runs."""
    script = tmp_path / "login"
    script.write_text(PLUGIN.format(folder=tmp_path))
    script.chmod(0o755)
    runs = tmp_path / "runs"
    runs.touch()
    (tmp_path / "token").write_text(account())
    exec_ = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(script),
        "interactiveMode": "Never",
    }
    return SimpleNamespace(
        user={"exec": exec_},
        folder=tmp_path,
        fails=tmp_path / "fails",
        hangs=tmp_path / "hangs",
        token=tmp_path / "token",
        num_runs=lambda: len(runs.read_text().splitlines()),
    )


@pytest.fixture
def job(kubectl, team):
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": "units", "namespace": team},
        "spec": {
            "model": {"uri": "pvc://work/base"},
            "datasets": [{"name": "rows", "configMapRef": {"name": "rows"}}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "work"},
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    return hooks.Target(names.FINETUNEJOB, team, "units")


def source_of(conn_id, of):
    return stream.Kubernetes(conn_id, of.kind, of.namespace)


async def read(source, of):
    async with source.open() as connection:
        return (await connection.read(of.name))["metadata"]["name"]


async def until_refused(source, of):
    """The API server keeps what it knows of a token for some seconds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await read(source, of)
            except watch.Unavailable as unavailable:
                return str(unavailable)
            await asyncio.sleep(0.5)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(watch, "LONGEST_PAUSE_SECONDS", 0.2)


async def test_trigger_whose_token_is_refused_logs_in_anew(account, connect, job):
    connect("rotated", {"token": account()})
    source = source_of("rotated", job)
    assert await read(source, job) == "units"
    fresh = await asyncio.to_thread(account)
    assert "credentials are not accepted" in await until_refused(source, job)
    connect("rotated", {"token": fresh})
    assert await read(source, job) == "units"


def test_worker_whose_token_is_refused_logs_in_anew(account, connect, job):
    connect("rotated", {"token": account()})
    there = hooks.FairleadHook("rotated")
    assert there.read(job) is not None
    first = there.api_client
    connect("rotated", {"token": account()})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while there.api_client is first:  # the API server knows the token of before for some seconds
        assert time.monotonic() < deadline
        assert there.read(job) is not None


async def test_credentials_that_are_refused_for_long_are_given_up(connect, job, monkeypatch):
    connect("wrong", {"token": "nonsense"})
    source = source_of("wrong", job)
    with pytest.raises(asynchooks.Unauthorized, match="credentials are not accepted"):
        await read(source, job)
    monkeypatch.setattr(asynchooks, "REFUSED_SECONDS", 0.0)
    with pytest.raises(hooks.Unauthorized, match="connection wrong: finetunejobs: "):
        await read(source, job)


def test_wrong_credentials_of_a_worker_are_named(connect, job):
    connect("wrong", {"token": "nonsense"})
    with pytest.raises(hooks.Unauthorized, match="the connection's credentials are not accepted"):
        hooks.FairleadHook("wrong").read(job)


def test_worker_whose_exec_plugin_fails_runs_it_again(plugin, connect, job):
    plugin.fails.touch()
    connect("sealed", plugin.user)
    there = hooks.FairleadHook("sealed")
    with pytest.raises(hooks.Unauthorized, match="the connection's credentials are not accepted"):
        there.read(job)
    assert plugin.num_runs() == 1 + workerhook.LOGINS
    plugin.fails.unlink()
    assert there.read(job) is not None


async def test_failing_exec_plugin_is_named_and_run_again(plugin, connect, job, caplog):
    plugin.fails.touch()
    connect("sealed", plugin.user)
    shared = watch.SharedWatch(source_of("sealed", job))
    waiter = shared.join(job.name)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while plugin.num_runs() < 3:
            await asyncio.sleep(0.05)
    assert "connection sealed: exec: process returned 3. the vault is sealed" in caplog.text
    plugin.fails.unlink()
    body = await asyncio.wait_for(waiter.look(), PATIENCE_SECONDS)
    assert body["metadata"]["name"] == "units"
    await shared.leave(job.name, waiter)


async def test_exec_plugin_that_is_not_there_is_named(connect, job):
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/plugin"}
    connect("bare", {"exec": exec_})
    with pytest.raises(watch.Unavailable, match="connection bare: .*/no/such/plugin"):
        await read(source_of("bare", job), job)


async def test_exec_plugin_that_hangs_is_not_waited_for(plugin, connect, job, monkeypatch):
    monkeypatch.setattr(asynchooks, "LOGIN_SECONDS", 5.0)  # it begins within
    plugin.hangs.touch()
    connect("slow", plugin.user)
    with pytest.raises(watch.Unavailable, match="connection slow: no login within"):
        await read(source_of("slow", job), job)
    assert (plugin.folder / "hung").exists()
    assert processes_below(plugin.folder) == []


def processes_below(folder):
    """Programs that a plugin of this folder has begun, and that still run."""
    mark = f"LOGS_IN_FROM={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes())
    return found


async def test_waiters_of_another_connection_hear_nothing_of_a_failing_login(
    plugin, account, connect, job
):
    plugin.fails.touch()
    connect("sealed", plugin.user)
    connect("good", {"token": plugin.token.read_text()})
    sealed = watch.SharedWatch(source_of("sealed", job))
    good = watch.SharedWatch(source_of("good", job))
    stuck, told = sealed.join(job.name), good.join(job.name)
    assert await asyncio.wait_for(told.look(), PATIENCE_SECONDS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stuck.look(), 1)
    await sealed.leave(job.name, stuck)
    await good.leave(job.name, told)


async def test_many_reads_at_once_cost_one_login(plugin, connect, job):
    connect("busy", plugin.user)
    source = source_of("busy", job)
    await asyncio.gather(*(read(source, job) for _ in range(20)))
    assert plugin.num_runs() == 1


async def test_kubeconfig_that_is_not_there_ends_the_wait_with_its_connection(
    connect, job, tmp_path
):
    connect("lost", {"token": "any"}).unlink()
    with pytest.raises(hooks.Refused, match="connection lost: Invalid kube-config file"):
        await read(source_of("lost", job), job)


async def test_token_of_the_pod_is_read_again_when_it_is_renewed(
    account, server, job, tmp_path, monkeypatch
):
    where = server["server"].removeprefix("https://").rsplit(":", 1)
    monkeypatch.setenv(incluster_config.SERVICE_HOST_ENV_NAME, where[0])
    monkeypatch.setenv(incluster_config.SERVICE_PORT_ENV_NAME, where[1])
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    authority.write_bytes(base64.b64decode(server["certificate-authority-data"]))
    token.write_text(await asyncio.to_thread(account))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    source = source_of("fairlead_default", job)  # no such connection: the pod's own account
    assert await read(source, job) == "units"
    fresh = await asyncio.to_thread(account)
    await until_refused(source, job)
    token.write_text(fresh)
    assert await read(source, job) == "units"
