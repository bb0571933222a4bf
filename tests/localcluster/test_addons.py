"""Add-ons on a real node: names resolve, claims bind, a Gateway answers, images are loaded.

The last test takes all of it down.
"""

import http.client
import os
import shutil
import signal
import subprocess
import sys

import pytest

from fairlead_cluster import (
    __main__,
    addons,
    cluster,
    down,
    gateway,
    imageengine,
    node,
    processes,
    state,
    status,
    up,
)

pytestmark = pytest.mark.e2e

PATIENCE_SECONDS = 180
UP_SECONDS = 600  # until helm begins, an `up` starts a whole cluster
NAMESPACE = "fairlead-addons-test"
CLAIMS = {"once": "ReadWriteOnce", "many": "ReadWriteMany"}
LOADED = "localhost/fairlead-load-test:1"


@pytest.fixture(scope="module")
def chosen(fresh):
    return fresh("fl-test-addons")


@pytest.fixture(scope="module")
def machine_before(chosen, machine):
    return machine(chosen.name)


@pytest.fixture(scope="module")
def opened(chosen, machine_before):
    """A cluster whose first `up` was killed while helm installed the gateway."""
    command = [sys.executable, "-m", "fairlead_cluster", "up", "--name", chosen.name]
    with subprocess.Popen(command, start_new_session=True) as process:
        where = state.layout_of(chosen.state_dir, chosen.name)
        # Before its certificates are there nothing can be asked of the server.
        has_come = (where.pki / "admin.crt").exists
        until(lambda: process.poll() is not None or has_come(), UP_SECONDS)
        # Opened once: that runs programs, and the release is "pending-install" for seconds only.
        server = cluster.open_cluster(chosen, state.read(where.state_file)).server
        until(lambda: process.poll() is not None or releases(server), UP_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    assert releases(server) == ["pending-install"], "killed too late or too early"
    return up.up(chosen, up.Wanted())


def releases(server):
    """Status of each release of the gateway's chart."""
    secrets = f"/api/v1/namespaces/{gateway.NAMESPACE}/secrets?labelSelector=owner%3Dhelm"
    listed = server.get(secrets) or {"items": []}
    return [item["metadata"]["labels"]["status"] for item in listed["items"]]


def until(condition, seconds=PATIENCE_SECONDS):
    assert processes.wait(condition, seconds), "the condition did not come true in time"


@pytest.fixture(scope="module")
def kubectl(opened):
    def run(*arguments, stdin=None):
        return opened.server.kubectl_run(
            ["--namespace", NAMESPACE, *arguments], what=" ".join(arguments), stdin=stdin
        )

    return run


@pytest.fixture(scope="module")
def image(opened):
    found = opened.server.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture(scope="module")
def pods(opened, kubectl, image):
    """Two pods that share one claim, one of them with a claim of its own and a web server."""
    opened.server.create(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    )
    server = ["python3", "-m", "http.server", "8000", "--directory", "/many"]
    objects = [claim(name, mode) for name, mode in CLAIMS.items()]
    objects += [
        pod("web", image, server, {"once": "/once", "many": "/many"}),
        pod("reader", image, ["sleep", "3600"], {"many": "/many"}),
        service(),
        entry(),
        route(),
    ]
    opened.server.apply(objects, "make the pods of the test")
    kubectl("wait", "--for=condition=Ready", "pod/web", "pod/reader", "--timeout=180s")


def named(kind, api_version, name, **fields):
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def claim(name, mode):
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
    return named("PersistentVolumeClaim", "v1", name, spec=spec)


def pod(name, image, command, claims):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    mounts = [{"name": claim, "mountPath": path} for claim, path in claims.items()]
    spec = {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": image,
                "command": command,
                "volumeMounts": mounts,
                "securityContext": security,
            }
        ],
        "volumes": [
            {"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims
        ],
    }
    return named("Pod", "v1", name, spec=spec)


def service():
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    return named("Service", "v1", "web", spec=spec)


def entry():
    listener = {"name": "http", "protocol": "HTTP", "port": 80}
    spec = {"gatewayClassName": "fairlead", "listeners": [listener]}
    return named("Gateway", "gateway.networking.k8s.io/v1", "entry", spec=spec)


def route():
    backends = [{"backendRefs": [{"name": "web", "port": 80}]}]
    spec = {"parentRefs": [{"name": "entry"}], "rules": backends}
    return named("HTTPRoute", "gateway.networking.k8s.io/v1", "web", spec=spec)


def test_every_add_on_serves_and_status_says_so(opened):
    until(lambda: addons.serving(opened.server) == {name: True for _, name in addons.DEPLOYMENTS})
    reports = []

    def is_whole():  # a busy server may fail to answer once
        reports.append(status.report(opened, state.read(opened.where.state_file)))
        return reports[-1][1]

    assert processes.wait(is_whole, PATIENCE_SECONDS), reports[-1]
    lines, _ = reports[-1]
    for _, name in addons.DEPLOYMENTS:
        assert any(name in line and line.endswith(" serves") for line in lines), lines


@pytest.mark.parametrize(("name", "mode"), CLAIMS.items())
def test_claims_of_both_access_modes_bind(pods, opened, name, mode):
    path = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{name}"
    found = opened.server.get(path)["status"]
    assert (found["phase"], found["accessModes"]) == ("Bound", [mode])


def test_what_one_pod_writes_as_a_plain_user_another_reads(pods, kubectl):
    kubectl("exec", "web", "--", "sh", "-c", "echo shared >/many/word && echo own >/once/word")
    assert kubectl("exec", "reader", "--", "cat", "/many/word") == "shared\n"


@pytest.mark.parametrize(
    "name", ["web", f"web.{NAMESPACE}.svc.cluster.local", "kubernetes.default.svc"]
)
def test_services_are_found_by_name(pods, kubectl, name):
    assert kubectl("exec", "reader", "--", "getent", "hosts", name).strip()


def test_names_outside_of_the_cluster_do_not_exist_and_say_so_at_once(pods, kubectl):
    question = "getent hosts example.com; echo $?"
    # 2: the name was not found; a server that can't be reached would take over 40 s and say so.
    assert kubectl("exec", "reader", "--", "timeout", "20", "sh", "-c", question).strip() == "2"


def test_a_gateway_of_the_class_answers_on_its_cluster_ip_from_the_host(pods, opened, kubectl):
    kubectl("exec", "web", "--", "sh", "-c", "echo through the gateway >/many/page")
    kubectl("wait", "--for=condition=Programmed", "gateway/entry", "--timeout=180s")
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/gateways/entry"
    address = opened.server.get(path)["status"]["addresses"][0]["value"]
    answers = []

    def answered():
        answers.append(ask(address, "/page"))
        return answers[-1] == (200, b"through the gateway\n")

    assert processes.wait(answered, PATIENCE_SECONDS), answers[-1]


def test_the_proxy_is_given_time_for_its_probes(pods, opened, kubectl):
    kubectl("wait", "--for=condition=Programmed", "gateway/entry", "--timeout=180s")
    path = f"/apis/apps/v1/namespaces/{gateway.NAMESPACE}/deployments"
    query = "labelSelector=gateway.envoyproxy.io%2Fowning-gateway-name%3Dentry"
    assert processes.wait(lambda: opened.server.get(f"{path}?{query}"), PATIENCE_SECONDS)
    (proxy,) = opened.server.get(f"{path}?{query}")["items"]
    containers = proxy["spec"]["template"]["spec"]["containers"]
    (envoy,) = (each for each in containers if each["name"] == "envoy")
    readiness, liveness = envoy["readinessProbe"], envoy["livenessProbe"]
    assert (readiness["timeoutSeconds"], readiness["failureThreshold"]) == (10, 3)
    assert liveness["timeoutSeconds"] == 10


def ask(address, path):
    connection = http.client.HTTPConnection(address, 80, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as refused:
        return 0, str(refused).encode()
    finally:
        connection.close()


def test_the_only_storage_class_is_the_default(opened):
    listed = opened.server.get("/apis/storage.k8s.io/v1/storageclasses")["items"]
    assert [item["metadata"]["name"] for item in listed] == ["local-path"]
    annotations = listed[0]["metadata"]["annotations"]
    assert annotations["storageclass.kubernetes.io/is-default-class"] == "true"


def test_an_add_on_image_is_one_for_all(opened, image):
    for namespace, name in addons.DEPLOYMENTS:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        found = opened.server.get(path)["spec"]["template"]["spec"]["containers"][0]["image"]
        assert found == image


def test_a_release_whose_installation_was_killed_is_taken_over(opened):
    assert releases(opened.server) == ["deployed"]


def test_a_second_up_installs_nothing_anew_and_is_quick(opened, chosen, quickest):
    path = f"/apis/apps/v1/namespaces/{gateway.NAMESPACE}/deployments/envoy-gateway"
    before = opened.server.get(path)["metadata"]["generation"]
    assert quickest(lambda: up.up(chosen, up.Wanted()), 20) < 20
    assert opened.server.get(path)["metadata"]["generation"] == before
    assert releases(opened.server) == ["deployed"]


@pytest.fixture
def local_image(opened, tmp_path):
    """An image of one program in the local store of the engine, and the same as an archive."""
    engine = imageengine.find()
    shutil.copy(opened.cache.path(node.PAUSE), tmp_path / "pause")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    engine.build(
        imageengine.Build(LOADED, dockerfile, "", tmp_path, {}, {}, tmp_path / "build.log")
    )
    archive = tmp_path / "archive.tar"
    save = ["push", LOADED, f"docker-archive:{archive}"]
    if engine.kind == "docker":
        save = ["save", "--output", str(archive), LOADED]
    subprocess.run([engine.kind, *save], check=True)
    yield {"store": [LOADED], "archive": [str(archive), "--as", "fairlead-load-test:archive"]}
    engine.remove(LOADED)


@pytest.mark.parametrize("source", ["store", "archive"])
def test_a_pod_starts_from_the_name_that_load_prints(
    pods, opened, kubectl, local_image, monkeypatch, capsys, source
):
    monkeypatch.setenv("FAIRLEAD_PROVIDER", "embedded")
    assert __main__.main(["load", *local_image[source], "--name", opened.where.name]) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    opened.server.apply([pod(f"loaded-from-{source}", printed, ["/pause"], {})], "use the image")
    kubectl("wait", "--for=condition=Ready", f"pod/loaded-from-{source}", "--timeout=180s")


def test_down_leaves_nothing_of_pods_claims_and_gateways(
    pods, chosen, kubectl, machine_before, machine, traces
):
    kubectl("wait", "--for=condition=Programmed", "gateway/entry", "--timeout=180s")
    assert traces(chosen.name) != []
    down.down(chosen)
    assert traces(chosen.name) == []
    assert machine(chosen.name) == machine_before
