"""A cluster of the user's own: what is refused, what is installed, what goes and what stays.

The foreign cluster is an embedded one, reached by KUBECONFIG and FAIRLEAD_CONTEXT alone. Its nodes
are simulated, so the operator's pods count as ready and no image is pulled.
"""

import dataclasses
import json

import pytest
import yaml

from fairlead_chaos import patient
from fairlead_cluster import (
    __main__,
    account,
    belongings,
    errors,
    foreign,
    gateway,
    imageengine,
    processes,
    release,
    settings,
    up,
)
from fairlead_cluster.demo import example

PATIENCE_SECONDS = 120
CLUSTER = "fl-test-foreign"
CONTEXT = f"fairlead-{CLUSTER}"
REGISTRY = "registry.example/team"
REFERENCES = {name: f"{REGISTRY}/fairlead-{name}:1" for name in release.RELEASED}
SYSTEM = release.Release.namespace


class Theirs:
    """The user's own kubectl."""

    def __init__(self, opened):
        self.opened = opened
        self.kubeconfig = opened.where.kubeconfig

    def kube(self, *arguments, stdin=None):
        command = [str(self.opened.cache.path("kubectl")), f"--kubeconfig={self.kubeconfig}"]
        done = patient.run([*command, *arguments], stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def has(self, *words):
        return bool(self.kube("get", *words, "--ignore-not-found", "-o", "name").strip())

    def make_example(self):
        """What the demo applies; the Job's pod waits for ever for its volume."""
        self.kube("apply", "-k", str(example.FOLDER))
        for file in ("finetunejob.yaml", "modelservices.yaml"):
            self.kube("apply", "-f", str(example.FOLDER / file))


@pytest.fixture(scope="module")
def theirs(fresh):
    chosen = fresh(CLUSTER)
    made = Theirs(up.up(chosen, up.Wanted(control_plane_only=True, num_simulated_gpu_nodes=2)))
    made.opened.cache.build(["helm"])
    return made


@pytest.fixture
def open_nodes(theirs):
    """Simulated nodes that take any pod and say that it is ready."""
    theirs.kube("taint", "nodes", "--all", "kwok.x-k8s.io/node-")
    yield
    theirs.kube("taint", "nodes", "--all", "kwok.x-k8s.io/node=fake:NoSchedule")


@pytest.fixture
def environment(theirs, monkeypatch):
    """The environment of a user who works on that cluster."""
    monkeypatch.setenv("KUBECONFIG", str(theirs.kubeconfig))
    monkeypatch.setenv("FAIRLEAD_CONTEXT", CONTEXT)
    monkeypatch.setenv("FAIRLEAD_REGISTRY", REGISTRY)
    return monkeypatch


@pytest.fixture
def provider(environment):
    return foreign.Foreign(settings.load())


@pytest.fixture
def with_identity(theirs, environment, tmp_path):
    """The same context with other credentials or another address."""

    def change(user=None, server=None):
        config = yaml.safe_load(theirs.kubeconfig.read_text())
        if user:
            config["users"][0]["user"] = user
        if server:
            config["clusters"][0]["cluster"]["server"] = server
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        environment.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    return change


class PushingEngine(imageengine.Engine):
    """An engine that has every image, and a registry that takes them."""

    pushed = []

    def has(self, reference):
        return True

    def push(self, reference, destination):
        self.pushed.append(destination)


def said_by(capsys, *words):
    """Run a verb that fails, and return the one line that says so, which is the last."""
    assert __main__.main(words) == 1
    *notes, line = capsys.readouterr().err.splitlines()
    assert [note for note in (*notes, line) if note.startswith("fairlead-cluster: ")] == [line]
    return line


@pytest.mark.parametrize("verb", ["up", "demo"])
def test_missing_registry_is_named_before_anything_is_done(monkeypatch, capsys, verb):
    monkeypatch.setenv("FAIRLEAD_CONTEXT", "mine")
    monkeypatch.delenv("FAIRLEAD_REGISTRY", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/no/where")
    line = said_by(capsys, verb)
    assert "FAIRLEAD_CONTEXT is 'mine', but FAIRLEAD_REGISTRY is not set; set it to" in line


@pytest.mark.parametrize("verb", ["kubeconfig", "load"])
def test_verb_that_a_context_has_no_use_for_says_what_to_do(monkeypatch, capsys, verb):
    monkeypatch.setenv("FAIRLEAD_CONTEXT", "mine")
    line = said_by(capsys, verb, *(["image:1"] if verb == "load" else []))
    assert ("use yours, as kubectl does" if verb == "kubeconfig" else "docker push") in line


@pytest.mark.cluster
@pytest.mark.parametrize("verb", ["up", "down", "demo", "status"])
def test_unknown_context_is_named_with_those_that_exist(environment, capsys, verb):
    environment.setenv("FAIRLEAD_CONTEXT", "typo")
    line = said_by(capsys, verb)
    assert f"has no context 'typo' (contexts: {CONTEXT}); set FAIRLEAD_CONTEXT" in line


@pytest.mark.cluster
@pytest.mark.parametrize("verb", ["up", "down"])
def test_cluster_that_does_not_answer_is_named(with_identity, capsys, verb):
    with_identity(server="https://127.0.0.1:1")
    line = said_by(capsys, verb)
    assert f"can't reach the cluster of context '{CONTEXT}'" in line
    assert "refused" in line


@pytest.mark.cluster
def test_credentials_that_are_not_good_are_named(with_identity, capsys):
    with_identity(user={"token": "expired"})
    line = said_by(capsys, "up")
    assert "Unauthorized" in line
    assert "credentials" in line


@pytest.mark.cluster
@pytest.mark.parametrize(("verb", "lacking"), [("up", "create"), ("down", "delete")])
def test_missing_rights_are_named(theirs, with_identity, capsys, verb, lacking):
    token = theirs.kube("create", "token", "default", "-n", "default").strip()
    with_identity(user={"token": token})
    line = said_by(capsys, verb)
    assert f"may not {lacking} namespaces, customresourcedefinitions, clusterroles," in line
    assert "ask an administrator" in line


@pytest.mark.cluster
def test_up_pushes_and_installs_and_down_removes_all_but_the_volumes(
    theirs, environment, open_nodes, capsys, monkeypatch
):
    monkeypatch.setattr(imageengine, "find", lambda _=None: PushingEngine("podman"))
    assert __main__.main(["up"]) == 0
    said = capsys.readouterr().err
    assert "no Gateway API" in said
    assert "no default StorageClass" in said
    pushed = PushingEngine.pushed
    assert {each.rpartition(":")[0] for each in pushed} == {
        f"{REGISTRY}/fairlead-{name}" for name in release.RELEASED
    }
    path = "jsonpath={.spec.template.spec.containers[0].image} {.status.readyReplicas}"
    operator = theirs.kube("get", "deployment", "fairlead-operator", "-n", SYSTEM, "-o", path)
    assert operator.split() == [next(each for each in pushed if "operator" in each), "2"]
    assert __main__.main(["status"]) == 0
    assert "release fairlead is installed" in capsys.readouterr().out

    foreign.belongings.own_namespace(foreign.Foreign(settings.load())._access(), example.NAMESPACE)
    theirs.make_example()
    assert __main__.main(["down", "--all"]) == 0
    said = capsys.readouterr().out
    assert "kept: namespace units with its volumes: claim demo (`make down VOLUMES=1`" in said
    assert "kept: the kinds FineTuneJob and ModelService (none of them is left)" in said
    assert theirs.has("persistentvolumeclaim", "demo", "-n", "units")
    assert not theirs.has("finetunejobs,modelservices,jobs", "-A")
    assert not theirs.has("namespace", SYSTEM)
    assert not theirs.has("clusterroles", "system:fairlead-operator")
    assert processes.wait(theirs.opened.server.is_ready, PATIENCE_SECONDS)
    assert __main__.main(["status"]) == 1
    assert "is not installed" in capsys.readouterr().out

    assert __main__.main(["down", "--volumes"]) == 0
    assert "volumes" not in capsys.readouterr().out
    assert not theirs.has("namespace", "units")


@pytest.mark.cluster
def test_nothing_to_remove_is_no_error(environment, capsys):
    assert __main__.main(["down", "--volumes"]) == 0


@pytest.mark.cluster
def test_account_of_airflow_may_edit_its_namespace_and_no_other(theirs, provider, tmp_path):
    theirs.kube("create", "namespace", "account-test")
    for _ in range(2):  # made once, renewed after
        text = account.kubeconfig(provider._access(), "account-test", "airflow", {})
    (tmp_path / "account").write_text(text)
    command = [theirs.opened.cache.path("kubectl"), f"--kubeconfig={tmp_path / 'account'}"]

    def may(*words):
        asked = [*command, "auth", "can-i", *words]
        return patient.run(asked).stdout.strip()

    # In its own namespace, which is the context's; rights count a moment after they are bound.
    assert processes.wait(lambda: may("create", "configmaps") == "yes", PATIENCE_SECONDS)
    assert may("create", "rolebindings") == "no"
    assert may("get", "configmaps", "-n", "default") == "no"
    theirs.kube("delete", "namespace", "account-test", "--wait=false")


@pytest.mark.cluster
def test_what_was_there_before_stays(theirs, provider, capsys):
    theirs.kube("create", "namespace", "units")
    theirs.kube("create", "configmap", "mine", "-n", "units")
    mine = dataclasses.replace(provider._access().release, namespace=SYSTEM)
    mine.install(REFERENCES, ["gateway.enabled=false"], wait=False)
    theirs.make_example()
    service = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "mine", "namespace": "units"},
        "spec": {"model": {"uri": "pvc://demo/bases/dates"}},
    }
    theirs.kube("apply", "-f", "-", stdin=json.dumps(service))
    theirs.kube("create", "serviceaccount", "mine", "-n", "units")
    account.kubeconfig(provider._access(), "units", "airflow", belongings.LABELS)
    with pytest.raises(errors.ClusterError, match="was installed by somebody else"):
        provider.reach(up.Wanted())
    provider.down(everything=True, volumes=True)
    said = capsys.readouterr().out
    assert "kept: release fairlead, which somebody else installed" in said
    assert "(1 of them)" in said
    assert mine.is_there()
    assert theirs.has("configmap", "mine", "-n", "units")
    assert theirs.has("modelservice", "mine", "-n", "units")
    assert theirs.has("serviceaccount", "mine", "-n", "units")
    assert not theirs.has("serviceaccount", "airflow", "-n", "units")
    assert not theirs.has("rolebinding", "airflow", "-n", "units")
    assert not theirs.has("modelservice", "units", "-n", "units")
    assert not theirs.has("persistentvolumeclaim", "demo", "-n", "units")
    mine.uninstall()
    theirs.kube("delete", "namespace", "units", SYSTEM)


@pytest.mark.cluster
def test_demo_without_a_gateway_is_refused_before_the_images_are_pushed(environment, capsys):
    line = said_by(capsys, "demo")
    assert "this cluster serves no Gateway API; install Envoy Gateway" in line


def install_crds(theirs, names):
    """The CRDs of these files of Envoy Gateway's chart; they stay."""
    chart = theirs.opened.cache.module_folder(gateway.MODULE, "charts/gateway-helm")
    files = sorted(str(path) for path in (chart / "charts/crds/crds").rglob(names))
    flags = [f"--filename={file}" for file in files]
    theirs.kube("apply", "--server-side", "--force-conflicts", *flags)
    theirs.kube("wait", "--for=condition=Established", "--timeout=180s", "crd", "--all")


@pytest.mark.cluster
def test_demo_that_no_gateway_would_serve_is_refused_before_the_images_are_pushed(
    theirs, environment, capsys
):
    install_crds(theirs, "gatewayapi-crds.yaml")
    line = said_by(capsys, "demo")
    assert "neither a GatewayClass 'fairlead' nor Envoy Gateway; install Envoy Gateway" in line


@pytest.fixture(scope="module")
def gateway_api(theirs):
    """Gateway API and Envoy Gateway's kinds, as that project installs them."""
    install_crds(theirs, "*.yaml")


@pytest.mark.cluster
def test_gateway_and_its_class_are_made_and_removed(theirs, provider, gateway_api):
    access = provider.reach(up.Wanted())
    provider.install(access, REFERENCES, wait=False)
    assert theirs.has("gateway", "fairlead", "-n", SYSTEM)
    assert theirs.has("gatewayclass", "fairlead")
    provider.down(everything=False, volumes=False)
    assert not theirs.has("gatewayclasses,gateways", "-A")


@pytest.mark.cluster
def test_gateway_class_of_the_users_own_is_used_and_stays(theirs, provider, gateway_api):
    own = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "fairlead"},
        "spec": {"controllerName": "example.org/controller"},
    }
    theirs.kube("apply", "-f", "-", stdin=json.dumps(own))
    provider.install(provider.reach(up.Wanted()), REFERENCES, wait=False)
    assert theirs.has("gateway", "fairlead", "-n", SYSTEM)
    provider.down(everything=False, volumes=False)
    assert theirs.has("gatewayclass", "fairlead")
