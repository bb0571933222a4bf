"""The chart on a real API server: installed, upgraded, removed and installed again.

No node runs here, so no pod starts; that the operator works is the end-to-end tests' to say.
"""

import contextlib
import json
import os
import signal
import time

import pytest
import yaml

from fairlead_chaos import patient, rights
from fairlead_cluster import programs, release, settings

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 180  # other work runs on the same cores
NAMESPACE = "chart-test"
WATCHED = f"chart-watched-{os.getpid()}"
IMAGES = {name: f"registry.example/team/fairlead-{name}:1" for name in release.RELEASED}
SERVICE = {
    "apiVersion": "fairlead.dev/v1alpha1",
    "kind": "ModelService",
    "metadata": {"name": "kept", "namespace": NAMESPACE},
    "spec": {"model": {"uri": "pvc://models/base"}},
}

JOB = {
    "apiVersion": "fairlead.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "first", "namespace": NAMESPACE},
    "spec": {
        "model": {"uri": "pvc://models/base"},
        "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "models"},
    },
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "models", "namespace": NAMESPACE},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
MANAGED = "app.kubernetes.io/managed-by=fairlead"


class Tools:
    """helm and kubectl in one namespace."""

    def __init__(self, cluster, helm):
        self.kubectl, self.helm, self.kubeconfig = cluster.kubectl, helm, cluster.kubeconfig
        self.began = cluster.audit_mark()

    def _run(self, program, *arguments, stdin=None):
        words = [str(program), f"--kubeconfig={self.kubeconfig}", "-n", NAMESPACE, *arguments]
        return patient.run(words, stdin)

    def kube(self, *arguments, stdin=None):
        done = self._run(self.kubectl, *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def explain(self, path):
        """What kubectl says of a field; schemas are published a little after a kind is served."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (done := self._run(self.kubectl, "explain", path)).returncode:
            assert time.monotonic() < deadline, done.stderr
        return done.stdout

    def install(self, *values):
        """Install or upgrade without waiting for pods, which can't start here."""
        flags = [f"--set-string={value}" for value in release.image_values(IMAGES)]
        flags += [f"--set={value}" for value in values]
        # Other tests of this cluster bring the CRDs too.
        flags += ["--take-ownership", "--force-conflicts"]
        done = self._run(
            self.helm,
            "upgrade",
            "--install",
            "chart",
            str(release.CHART),
            "--create-namespace",
            *flags,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def uninstall(self):
        done = self._run(self.helm, "uninstall", "chart", "--ignore-not-found")
        assert done.returncode == 0, done.stderr

    def may(self, user, verb, what):
        """Whether a user may do something in the namespace."""
        resource, _, part = what.partition("/")
        flags = (f"--as={user}", f"--subresource={part}")
        done = self._run(self.kubectl, "auth", "can-i", verb, resource, *flags)
        assert (answer := done.stdout.strip()) in ("yes", "no"), done.stderr
        return answer == "yes"


@pytest.fixture(scope="module")
def tools(cluster):
    helm = programs.open_cache(settings.load().cache_dir).build(["helm"])["helm"]
    ready = Tools(cluster, helm)
    ready.kube("delete", "namespace", NAMESPACE, "--ignore-not-found")  # a killed run's
    ready.install()
    yield ready
    ready.uninstall()
    ready.kube("delete", "modelservices,finetunejobs", "--all")
    ready.kube("delete", "namespace", NAMESPACE, "--wait=false")


def test_install_says_what_to_do_next(tools):
    said = tools.install()
    assert "kubectl explain finetunejob.spec" in said
    assert "serves no Gateway API" in said


def test_both_kinds_are_established(tools):
    for plural in ("finetunejobs", "modelservices"):
        tools.kube(
            "wait", "--for=condition=Established", "--timeout=180s", f"crd/{plural}.fairlead.dev"
        )


def test_kubectl_explain_has_our_words(tools):
    assert "Free the compute now" in tools.explain("finetunejob.spec.suspend")


@pytest.mark.parametrize(
    ("role", "verb", "what", "allowed"),
    [
        ("view", "list", "finetunejobs.fairlead.dev", True),
        ("view", "create", "finetunejobs.fairlead.dev", False),
        ("view", "get", "modelservices.fairlead.dev/scale", True),
        ("edit", "create", "finetunejobs.fairlead.dev", True),
        ("edit", "delete", "modelservices.fairlead.dev", True),
        ("edit", "patch", "modelservices.fairlead.dev/scale", True),
        ("edit", "patch", "modelservices.fairlead.dev/status", False),
        ("admin", "create", "modelservices.fairlead.dev", True),
    ],
)
def test_kubernetes_own_roles_know_our_kinds(tools, role, verb, what, allowed):
    binding = f"some-{role}"
    tools.kube(
        "apply", "-f", "-", stdin=tools.kube(
            "create", "rolebinding", binding, f"--clusterrole={role}", f"--user={role}-user",
            "--dry-run=client", "-o", "yaml",
        ),
    )  # fmt: skip
    # The aggregation controller needs a moment to join our rules to Kubernetes' role.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not tools.may(f"{role}-user", "list", "finetunejobs.fairlead.dev"):
        assert time.monotonic() < deadline, f"{role} never got our rules"
    assert tools.may(f"{role}-user", verb, what) is allowed


@pytest.mark.parametrize(
    ("verb", "what", "allowed"),
    [
        ("patch", "finetunejobs.fairlead.dev/status", True),
        ("create", "jobs.batch", True),
        ("patch", "jobs.batch", False),
        ("delete", "pods", False),
        ("create", "pods/exec", False),
        ("list", "secrets", False),
        ("delete", "finetunejobs.fairlead.dev", False),
        ("delete", "persistentvolumeclaims", False),
    ],
)
def test_operators_account_may_do_its_work_and_no_more(tools, verb, what, allowed):
    account = f"system:serviceaccount:{NAMESPACE}:chart-operator"
    assert tools.may(account, verb, what) is allowed


@pytest.fixture
def operator(tools, cluster, replica, tmp_path):
    """The operator with the rights and the settings that the chart gives it, on this machine."""
    with running(tools, cluster, replica, tmp_path) as started:
        yield started


@pytest.fixture
def operator_of_one_namespace(tools, cluster, replica, tmp_path):
    """The same, told to serve WATCHED only."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WATCHED}}
    tools.kube("apply", "-f", "-", stdin=yaml.safe_dump(namespace))
    tools.install(f"operator.watchNamespaces={{{WATCHED}}}")
    with running(tools, cluster, replica, tmp_path) as started:
        yield started
    tools.install()
    tools.kube("delete", "namespace", WATCHED, "--wait=false")


@contextlib.contextmanager
def running(tools, cluster, replica, folder):
    token = tools.kube("create", "token", "chart-operator")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token.strip()}
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    deployment = json.loads(tools.kube("get", "deployment", "chart-operator", "-o", "json"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    env |= {"FAIRLEAD_NAMESPACE": NAMESPACE}
    env |= {"KUBECONFIG": str(folder / "kubeconfig"), "PATH": os.environ["PATH"]}
    started = replica("outside", env, folder)
    try:
        yield started
    finally:
        started.stop(signal.SIGTERM)
    print(started.log.read_text())


def test_operator_works_with_the_rights_and_settings_of_the_chart(tools, operator, cluster):
    tools.kube("apply", "-f", "-", stdin=yaml.safe_dump_all([CLAIM, JOB, SERVICE]))
    waiting = {"job": "first-prepare-a1", "deployment": "", "lease": "chart-operator"}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while waiting:
        assert not operator.has_ended(), "the operator ended"
        assert time.monotonic() < deadline, f"never made: {waiting}"
        for kind, name in list(waiting.items()):
            found = tools.kube("get", kind, "-o", "name", "-l", MANAGED).splitlines()
            if any(each.endswith(f"/{name}") or not name for each in found):
                del waiting[kind]
    assert refusals(cluster, tools.began) == []


def test_operator_of_one_namespace_works_there_and_nowhere_else(
    tools, operator_of_one_namespace, cluster
):
    in_other = {"name": "unserved", "namespace": NAMESPACE}
    tools.kube("apply", "-f", "-", stdin=yaml.safe_dump(JOB | {"metadata": in_other}))
    served = [moved(CLAIM, WATCHED), moved(JOB, WATCHED)]
    tools.kube("apply", "-n", WATCHED, "-f", "-", stdin=yaml.safe_dump_all(served))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not tools.kube("get", "job", "-o", "name", "-l", MANAGED, "-n", WATCHED):
        assert not operator_of_one_namespace.has_ended(), "the operator ended"
        assert time.monotonic() < deadline, "never served"
    # It was made first, so an operator that saw it would have said so by now.
    assert (
        tools.kube("get", "finetunejobs.fairlead.dev", "unserved", "-o", "jsonpath={.status}") == ""
    )
    assert refusals(cluster, tools.began) == []


def moved(manifest, namespace):
    return manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}


def refusals(cluster, since):
    """What the API server refused the operator for lack of a right since a mark of the log."""
    account = f"system:serviceaccount:{NAMESPACE}:chart-operator"
    told = cluster.audited(account, since)
    calls = [event for event in told if event["user"]["username"] == account]
    decisions = {(event.get("annotations") or {}).get(rights.DECISION) for event in calls}
    assert "allow" in decisions, "the log doesn't say what was decided"
    return rights.refused(calls)


def test_upgrade_changes_only_what_was_asked(tools):
    before = json.loads(tools.kube("get", "deployment", "chart-operator", "-o", "json"))
    tools.install("operator.replicas=3")
    after = json.loads(tools.kube("get", "deployment", "chart-operator", "-o", "json"))
    assert after["spec"]["replicas"] == 3
    assert after["spec"]["template"] == before["spec"]["template"]


def test_uninstall_keeps_users_work_and_the_next_install_takes_it_over(tools):
    tools.kube("apply", "-f", "-", stdin=yaml.safe_dump(SERVICE))
    uid = tools.kube("get", "modelservices.fairlead.dev", "kept", "-o", "jsonpath={.metadata.uid}")
    tools.uninstall()
    assert "chart-operator" not in tools.kube("get", "deployments,clusterroles", "-o", "name")
    assert (
        tools.kube("get", "modelservices.fairlead.dev", "kept", "-o", "jsonpath={.metadata.uid}")
        == uid
    )
    # As if the CRD had come by kubectl.
    tools.kube("annotate", "crd", "finetunejobs.fairlead.dev", "meta.helm.sh/release-name-")
    tools.install()
    assert (
        tools.kube("get", "modelservices.fairlead.dev", "kept", "-o", "jsonpath={.metadata.uid}")
        == uid
    )
