"""A ModelService on a real API server: strict fields, real Deployments, writes counted.

No node runs the pods: the tests say which are ready, as a kubelet would.
"""

import json
import os
import signal
import time
import uuid
from datetime import UTC, datetime

import pytest

from fairlead_api import crd, metrics, names

pytestmark = pytest.mark.cluster

WAIT_SECONDS = 180
NUM_NAMESPACES = 5
KIND = "modelservices.fairlead.dev"  # kubectl may remember another group of that plural
STATUS_PATH = "/apis/fairlead.dev/v1alpha1/namespaces/{}/modelservices/dates/status"


class Namespace:
    """A namespace of the test's own, through kubectl."""

    def __init__(self, kubectl, name):
        self.name, self._kubectl = name, kubectl

    def run(self, *arguments, stdin=None):
        return self._kubectl(f"--namespace={self.name}", *arguments, stdin=stdin)

    def apply(self, *manifests):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self.run("apply", "--filename=-", stdin=text)

    def list(self, kind):
        return json.loads(self.run("get", kind, "--output=json"))["items"]

    def service(self):
        return json.loads(self.run("get", KIND, "dates", "--output=json"))

    def status(self):
        return self.service().get("status", {})

    def reasons(self):
        found = self.status().get("conditions", [])
        return {each["type"]: f"{each['status']}:{each['reason']}" for each in found}

    def selected(self):
        service = json.loads(self.run("get", "service", "dates", "--output=json"))
        return service["spec"]["selector"]["fairlead.dev/revision"]

    def until(self, what, check):
        """Wait for a check to hold; what stands in the end is in the error."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = check()
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"no {what} after {WAIT_SECONDS} s: {json.dumps(self.status())}")

    def make_ready(self, revision, num_pods):
        """Do as a kubelet does once pods answer their probes."""

        def pods():
            found = [
                pod
                for pod in self.list("pods")
                if pod["metadata"]["labels"]["fairlead.dev/revision"] == revision
            ]
            return found if len(found) >= num_pods else None

        for pod in self.until(f"{num_pods} pods of {revision}", pods):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            patch = {"status": {"phase": "Running", "conditions": [ready]}}
            self.run(
                "patch",
                "pod",
                pod["metadata"]["name"],
                "--subresource=status",
                f"--patch={json.dumps(patch)}",
            )


def manifest(**spec):
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "dates"},
        "spec": {"model": {"uri": "pvc://models/base"}, "replicas": 2} | spec,
    }


@pytest.fixture(scope="module")
def namespaces(kubectl):
    """Namespaces with a claim, one a test: an operator's start is the slow part."""
    found = [Namespace(kubectl, f"serving-{uuid.uuid4().hex[:8]}") for _ in range(NUM_NAMESPACES)]
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    for each in found:
        each.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each.name}})
        each.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "models"},
                "spec": claim,
            }
        )
    yield found
    for each in found:
        each.run("delete", "namespace", each.name, "--wait=false")


@pytest.fixture(scope="module")
def operator(cluster, namespaces, replica, tmp_path_factory):
    for definition in (crd.finetunejob_crd(), crd.modelservice_crd()):
        namespaces[0].run(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename=-",
            stdin=json.dumps(definition),
        )
        established = ("--for=condition=Established", "--timeout=180s")
        namespaces[0].run("wait", *established, "crd", definition["metadata"]["name"])
    env = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "FAIRLEAD_NAMESPACE": namespaces[0].name,
        "FAIRLEAD_WATCH_NAMESPACES": ",".join(each.name for each in namespaces),
        "FAIRLEAD_TRAINER_IMAGE": "example.org/trainer",
        "FAIRLEAD_SERVER_IMAGE": "example.org/server",
    }
    found = replica("operator", env, tmp_path_factory.mktemp("operator"))
    yield found
    found.stop(signal.SIGTERM)
    print(found.log.read_text())


@pytest.fixture
def namespace(namespaces):
    return next(each for each in namespaces if not each.list(KIND))


@pytest.fixture
def began(cluster):
    """Where the audit log stands before the test."""
    return cluster.audit_mark()


@pytest.fixture
def served(namespace, operator, began):
    """A service whose first revision answers; its namespace."""
    namespace.apply(manifest())
    stable = namespace.until("stable", lambda: namespace.status().get("stable"))
    namespace.make_ready(stable, 2)
    namespace.until("ready", lambda: namespace.reasons().get("Ready") == "True:ReplicasReady")
    return namespace


def test_revisions_take_turns_and_old_ones_go(served):
    first = served.status()["stable"]
    assert served.selected() == first
    served.apply(manifest(engine={"maxModelLen": 64}))
    second = served.until("candidate", lambda: served.status().get("candidate"))
    served.make_ready(second, 2)
    served.until("switch", lambda: served.status()["stable"] == second)
    served.until("new selector", lambda: served.selected() == second)
    served.until("end of the old one", lambda: len(served.list("deployments")) == 1)
    assert served.reasons()["Progressing"] == "False:RolledOut"
    assert served.reasons()["RouteReady"] == "False:NoGateway"
    records = served.list("controllerrevisions")
    assert {each["metadata"]["labels"]["fairlead.dev/revision"] for each in records} == {
        first,
        second,
    }


def test_scale_reaches_the_pods_and_the_scale_subresource_tells(served):
    served.run("scale", KIND, "dates", "--replicas=3")
    served.until("pods", lambda: len(served.list("pods")) == 3)
    path = f"/apis/fairlead.dev/v1alpha1/namespaces/{served.name}/modelservices/dates/scale"
    scale = served.until(
        "scale",
        lambda: (
            (found := json.loads(served.run("get", "--raw", path)))["status"]["replicas"] == 3
            and found
        ),
    )
    assert scale["status"]["selector"] == "fairlead.dev/modelservice=dates"
    assert len(served.list("controllerrevisions")) == 1


@pytest.fixture
def writes(cluster, served, began):
    """The operator's writes in the namespace so far, by the API server's own account."""

    def found():
        return [
            (event["verb"], event["requestURI"])
            for event in cluster.audited(served.name, began)
            if event["userAgent"] == names.MANAGER_OPERATOR
            and event["verb"] not in ("get", "list", "watch")
        ]

    return found


@pytest.fixture
def comes_to_rest(served, operator, writes):
    """Wait for many passes in a row of which none writes; one may have missed a late event."""

    def passes():
        """Which of its processes runs, and how often that one has looked at a resource, if yet."""
        life, num_passes = operator.num_lives, operator.sample(f"{metrics.RECONCILES}_total")
        return (life, num_passes) if num_passes and life == operator.num_lives else None

    def quiet():
        before, last = writes(), served.until("a pass", passes)
        served.run("annotate", "--overwrite", KIND, "dates", f"touched={last}")
        served.until("another pass", lambda: (now := passes()) and now > last)
        return before == writes()

    return lambda: served.until("quiet", lambda: all(quiet() for _ in range(5)))


def test_quiet_service_is_written_no_more(served, writes, comes_to_rest):
    comes_to_rest()
    assert ("patch", STATUS_PATH.format(served.name)) in {
        (verb, uri.partition("?")[0]) for verb, uri in writes()
    }, "the audit log does not show the operator's writes"


def test_anothers_entries_in_merged_lists_stay_and_cost_no_write(served, comes_to_rest):
    """An apply can't take them out: an operator that wants to would write at every pass."""
    name = f"dates-{served.status()['stable']}"
    port = {"name": "theirs", "port": 81, "protocol": "TCP"}
    served.run("patch", "service", name, f"--patch={json.dumps({'spec': {'ports': [port]}})}")
    comes_to_rest()
    (child,) = (each for each in served.list("services") if each["metadata"]["name"] == name)
    assert {each["port"] for each in child["spec"]["ports"]} == {80, 81}


def test_deleting_the_service_deletes_its_children(served):
    served.run("delete", KIND, "dates")
    for kind in ("deployments", "services", "controllerrevisions", "pods"):
        served.until(f"end of {kind}", lambda kind=kind: served.list(kind) == [])
