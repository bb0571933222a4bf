"""One CA and certificate for all replicas, renewed in time."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from fairlead_api import names
from fairlead_operator import certificates, kube
from fairlead_operator.__main__ import planners
from fairlead_operator.certificates import CERTIFICATE_LIFE, RENEW_BEFORE, Keeper
from fairlead_operator.plan import Observed
from fairlead_operator.settings import Settings
from fairlead_operator.testing import Fault, MemoryCluster

HOST = "fairlead-operator.fairlead-system.svc"
NOW = datetime.now(UTC)


@pytest.fixture
def cluster():
    return MemoryCluster()


async def ensure(cluster, host=HOST):
    return await certificates.ensure(cluster, "system", "tls", host)


async def test_a_client_that_trusts_the_ca_reaches_the_host(cluster):
    bundle = await ensure(cluster)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificates.load(server, bundle)
    client = ssl.create_default_context(cadata=bundle.ca.decode())

    async def close(_reader, writer):
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(close, "127.0.0.1", 0, ssl=server)
    port = listening.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client, server_hostname=HOST
    )
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="else.svc")
    listening.close()


async def test_replicas_share_what_the_first_made(cluster):
    assert await ensure(cluster) == await ensure(cluster)
    assert cluster.writes() == [("create", "Secret", "tls")]


async def test_a_replica_that_comes_second_takes_what_the_first_made(cluster):
    theirs = certificates.make(HOST, NOW)
    get = cluster.get

    async def get_then_lose(kind, namespace, name):
        cluster.get = get
        try:
            return await get(kind, namespace, name)
        finally:
            await cluster.create(certificates._secret(namespace, name, theirs))

    cluster.get = get_then_lose
    assert await ensure(cluster) == theirs


@pytest.mark.parametrize(
    ("age", "host", "renewed"),
    [
        pytest.param(timedelta(0), HOST, False, id="fresh"),
        pytest.param(CERTIFICATE_LIFE - RENEW_BEFORE, HOST, True, id="ends-soon"),
        pytest.param(timedelta(0), "other.svc", True, id="another-host"),
    ],
)
async def test_a_certificate_is_renewed_in_time_under_the_same_ca(cluster, age, host, renewed):
    old = certificates.make(HOST, NOW - age)
    await cluster.create(certificates._secret("system", "tls", old))
    new = await ensure(cluster, host)
    assert (new.certificate != old.certificate) is renewed
    assert new.ca == old.ca, "jobs that run would lose their trust anchor"


async def test_the_ca_is_followed_before_it_ends():
    old = certificates.make(HOST, NOW - certificates.CA_LIFE + timedelta(days=30))
    assert certificates.make(HOST, NOW, old).ca != old.ca


@pytest.mark.parametrize(
    "data",
    [{}, {"ca.crt": "AAAA", "ca.key": "AAAA", "tls.crt": "AAAA", "tls.key": "AAAA"}],
    ids=["empty", "garbage"],
)
async def test_a_broken_secret_is_made_anew(cluster, data):
    secret = certificates._secret("system", "tls", certificates.make(HOST, NOW))
    await cluster.create(secret | {"data": data})
    bundle = await ensure(cluster)
    (live,) = cluster.all(kube.SECRET)
    assert certificates.read(live) == bundle


async def test_two_that_renew_at_once_end_with_one_certificate(cluster):
    old = certificates.make(HOST, NOW - CERTIFICATE_LIFE)
    await cluster.create(certificates._secret("system", "tls", old))
    faster = kube.Conflict("the other replica was faster", 409)
    cluster.faults.append(Fault("replace", kube.SECRET, faster))
    bundle = await ensure(cluster)
    (live,) = cluster.all(kube.SECRET)
    assert certificates.read(live) == bundle


async def test_a_create_that_conflicts_is_made_again(cluster):
    """A quota that was counted meanwhile is told as a plain 409 too."""
    cluster.faults.append(Fault("create", kube.SECRET, kube.Conflict("resourcequotas: again", 409)))
    bundle = await ensure(cluster)
    (live,) = cluster.all(kube.SECRET)
    assert certificates.read(live) == bundle


@pytest.fixture
async def keeper(cluster, monkeypatch):
    """A keeper that looks at each turn of the loop."""
    monkeypatch.setattr(certificates, "CHECK_SECONDS", 0)
    made = Keeper(cluster, "system", "tls", HOST)
    keeping = asyncio.create_task(made.keep())
    yield made
    keeping.cancel()


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0)


async def test_a_renewed_certificate_is_served_without_a_restart(cluster, keeper, monkeypatch):
    loaded = []
    monkeypatch.setattr(certificates, "load", lambda _, bundle: loaded.append(bundle.certificate))
    await until(lambda: loaded)
    (live,) = cluster.all(kube.SECRET)
    newer = certificates.make(HOST, NOW, certificates.read(live))
    cluster.edit(live, data=newer.as_data())
    await until(lambda: loaded[-1] == newer.certificate)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(kube.Unavailable("busy", 503), id="unavailable"),
        pytest.param(kube.Unauthorized("the token was rotated", 401), id="unauthorized"),
    ],
)
async def test_an_api_error_only_delays_the_renewal(cluster, keeper, pass_time, caplog, error):
    await until(lambda: keeper.authority)
    old = keeper.authority
    (live,) = cluster.all(kube.SECRET)
    await cluster.delete(kube.SECRET, "system", "tls", live["metadata"]["uid"])
    cluster.faults.append(Fault("get", kube.SECRET, error))
    await until(lambda: cluster.faults[0].times == 0)
    assert keeper.authority == old, "served until there is another"
    await pass_time(certificates.RETRY_SECONDS)
    await until(lambda: keeper.authority != old)
    assert f"certificate: {error}; trying again" in caplog.text


async def test_jobs_that_begin_after_the_ca_was_lost_are_told_the_new_one(cluster, keeper, job):
    settings = Settings(
        trainer_image="t", server_image="s", namespace="system", progress_url=f"https://{HOST}:1"
    )
    planner = planners(settings, lambda: keeper.authority)[kube.FINETUNEJOB]
    job["metadata"] |= {"uid": "u", "generation": 1}
    claims = dict.fromkeys(("models", "data", "work"), {"spec": {"accessModes": ["ReadWriteMany"]}})

    def told():
        plan = planner.plan(planner.read(job), Observed(claims=claims), NOW)
        (run,) = [act.manifest for act in plan.acts if act.manifest["kind"] == "ConfigMap"]
        return run["data"][names.CA_KEY]

    await until(lambda: keeper.authority)
    (first,) = cluster.all(kube.SECRET)
    assert told() == certificates.read(first).ca.decode()
    await cluster.delete(kube.SECRET, "system", "tls", first["metadata"]["uid"])
    await until(lambda: keeper.authority != certificates.read(first).ca.decode())
    (second,) = cluster.all(kube.SECRET)
    assert told() == certificates.read(second).ca.decode()


def test_the_certificate_serves_and_the_ca_signs_only():
    bundle = certificates.make(HOST, NOW)
    for pem, is_ca in ((bundle.ca, True), (bundle.certificate, False)):
        certificate = x509.load_pem_x509_certificate(pem)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.value.ca is is_ca
