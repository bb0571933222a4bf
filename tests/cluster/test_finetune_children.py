"""What the real Job controller makes of a FineTuneJob's children, and what we read from it.

Pods are ended by writing their status, as a kubelet would; everything else is Kubernetes' own.
"""

import json
import time
from datetime import UTC, datetime

import pytest

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import EXIT_CODES, Cause, Termination, TrainingResult
from fairlead_chaos import patient
from fairlead_operator.finetune import causes, children, waiting
from fairlead_operator.finetune.config import config_map
from fairlead_operator.finetune.export import export_job
from fairlead_operator.finetune.options import Options
from fairlead_operator.finetune.prepare import prepare_job
from fairlead_operator.finetune.service import workers_service
from fairlead_operator.finetune.train import train_job

pytestmark = pytest.mark.cluster

NAMESPACE = "finetune-children"
OPTIONS = Options(
    trainer_image="trainer:1", progress_url="https://operator:8443", progress_ca="PEM",
    image_pull_secrets=("pull",),
)  # fmt: skip
JOB = FineTuneJob.read(
    {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": "real", "namespace": NAMESPACE, "uid": "u-1"},
        "spec": {
            "model": {"uri": "pvc://models/base"},
            "datasets": [
                {"name": "rows", "configMapRef": {"name": "rows"}},
                {"name": "more", "uri": "pvc://data/rows"},
            ],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "store"},
            "numNodes": 2,
            "resourcesPerNode": {"limits": {"nvidia.com/gpu": 1, "cpu": 1}},
        },
    }
)


class Namespace:
    """kubectl in a namespace that enforces the restricted standard."""

    def __init__(self, cluster):
        self._command = [str(cluster.kubectl), f"--kubeconfig={cluster.kubeconfig}"]

    def __call__(self, *arguments, body=None):
        command = [*self._command, "--namespace", NAMESPACE, *arguments]
        done = patient.run(command, None if body is None else json.dumps(body), 120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, manifest):
        """Create a child, without the owner that doesn't exist here."""
        manifest["metadata"].pop("ownerReferences")
        arguments = ("create", "--validate=strict", "-o", "json", "-f", "-")
        return json.loads(self(*arguments, body=manifest))

    def get(self, kind, name):
        return json.loads(self("get", kind, name, "-o", "json"))

    def pods(self, job):
        selector = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
        return json.loads(self("get", "pods", "-l", selector, "-o", "json"))["items"]

    def write_status(self, pod, status):
        patch = json.dumps({"status": status})
        arguments = ("patch", "pod", pod["metadata"]["name"], "--subresource=status")
        self(*arguments, "--type=strategic", "-p", patch)


def await_true(what, *, seconds=180):
    """Ask until the answer is true; fails with the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not come to pass"
    return answer


@pytest.fixture(scope="module")
def namespace(cluster):
    kubectl = Namespace(cluster)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")  # a killed run's
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace"}
    kubectl("apply", "-f", "-", body=body | {"metadata": {"name": NAMESPACE, "labels": labels}})
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=90s")
    yield kubectl
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def attempt(namespace, request):
    """A Train attempt whose two pods exist; each test has a number of its own."""
    made = []

    def make(number):
        job = namespace.create(train_job(JOB, number, OPTIONS))
        made.append(job["metadata"]["name"])
        await_true(lambda: len(namespace.pods(job)) == 2)
        return job

    yield make
    for name in made:
        namespace("delete", "job", name, "--wait=false")


def ended(code, message):
    """The status of a pod whose container ended."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    terminated = {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now}
    container = {
        "name": names.TRAINER_CONTAINER,
        "image": "trainer:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}


def finished(namespace, job):
    """The Job as soon as its end stands in its conditions."""
    name = job["metadata"]["name"]
    return await_true(
        lambda: (seen := namespace.get("job", name)) and children.outcome(seen) and seen
    )


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(config_map(JOB, OPTIONS), id="config-map"),
        pytest.param(workers_service(JOB), id="service"),
        pytest.param(prepare_job(JOB, 1, OPTIONS), id="prepare"),
        pytest.param(train_job(JOB, 1, OPTIONS), id="train"),
        pytest.param(export_job(JOB, 1, OPTIONS), id="export"),
    ],
)
def test_server_takes_each_child_strictly(namespace, manifest):
    namespace("create", "--dry-run=server", "--validate=strict", "-f", "-", body=manifest)


@pytest.mark.parametrize(
    "build", [pytest.param(prepare_job, id="prepare"), pytest.param(export_job, id="export")]
)
def test_pods_are_let_into_a_restricted_namespace(namespace, build):
    job = namespace.create(build(JOB, 900, OPTIONS))
    (pod,) = await_true(lambda: namespace.pods(job))
    assert pod["metadata"]["labels"][names.LABEL_FINETUNEJOB] == "real"
    namespace("delete", "job", job["metadata"]["name"], "--wait=false")


def test_workers_are_told_their_rank_and_host_name(namespace, attempt):
    job = attempt(100)
    pods = {pod["metadata"]["labels"][names.COMPLETION_INDEX]: pod for pod in namespace.pods(job)}
    assert set(pods) == {"0", "1"}
    assert pods["0"]["spec"]["hostname"] == f"{job['metadata']['name']}-0"
    environment = {e["name"]: e.get("value") for e in pods["0"]["spec"]["containers"][0]["env"]}
    master = f"{pods['0']['spec']['hostname']}.{pods['0']['spec']['subdomain']}"
    assert environment["PET_MASTER_ADDR"] == master


def test_scheduler_says_why_workers_wait(namespace, attempt):
    """The simulated nodes are tainted, and nothing of ours tolerates that."""
    job = attempt(101)
    await_true(lambda: "Unschedulable" in waiting.words(job, namespace.pods(job)))


CODES = [
    pytest.param(number, cause, EXIT_CODES[cause], id=cause)
    for number, cause in enumerate([cause for cause in Cause if EXIT_CODES[cause] > 1], start=1)
]


@pytest.mark.parametrize(("number", "cause", "code"), CODES)
def test_cause_of_one_worker_is_read_from_its_message_and_from_the_job(
    namespace, attempt, number, cause, code
):
    job = attempt(number)
    pods = namespace.pods(job)
    message = Termination(cause=cause, message="rows, part.jsonl line 7").to_message()
    namespace.write_status(pods[0], ended(code, message))
    seen = finished(namespace, job)
    end = causes.of_attempt(Stage.TRAIN, seen, namespace.pods(job))
    assert (end.cause, end.message) == (cause, "rows, part.jsonl line 7")
    assert causes.of_attempt(Stage.TRAIN, seen, []).cause is cause


def test_disruption_is_read_from_the_job_when_its_pods_are_gone(namespace, attempt):
    job = attempt(50)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "a more important pod came",
        "lastTransitionTime": now,
    }
    pod = namespace.pods(job)[0]
    namespace.write_status(pod, ended(137, "") | {"conditions": [target]})
    seen = finished(namespace, job)
    end = causes.of_attempt(Stage.TRAIN, seen, namespace.pods(job))
    assert (end.cause, end.verdict) == (Cause.DISRUPTED, "disruption")
    assert "PreemptionByScheduler: a more important pod came" in end.message
    assert causes.of_attempt(Stage.TRAIN, seen, []).cause is Cause.DISRUPTED


def test_exit_code_that_says_nothing_is_unknown_and_no_pod_is_replaced(namespace, attempt):
    job = attempt(51)
    namespace.write_status(namespace.pods(job)[0], ended(1, ""))
    seen = finished(namespace, job)
    assert causes.of_attempt(Stage.TRAIN, seen, namespace.pods(job)).cause is Cause.UNKNOWN
    assert seen["status"]["failed"] <= 2
    assert seen["status"].get("active", 0) == 0


def test_pod_deleted_by_force_is_gone_with_its_end_and_counts_as_a_disruption(namespace, attempt):
    job = attempt(53)
    pod = namespace.pods(job)[0]
    name = pod["metadata"]["name"]
    namespace("delete", "pod", name, "--force", "--grace-period=0", "--wait=false")
    try:
        namespace.write_status(pod, ended(137, ""))
    except AssertionError as error:  # the garbage collector of pods was here before
        assert "NotFound" in str(error)
    seen = finished(namespace, job)
    left = namespace.pods(job)
    assert name not in [pod["metadata"]["name"] for pod in left]
    end = causes.of_attempt(Stage.TRAIN, seen, left)
    assert (end.cause, end.verdict) == (Cause.DISRUPTED, "disruption")


def test_result_is_read_when_every_worker_has_succeeded(namespace, attempt):
    job = attempt(52)
    result = TrainingResult(step=5, world_size=2)
    message = Termination(cause=Cause.SUCCEEDED, training=result).to_message()
    for pod in namespace.pods(job):
        assert children.outcome(namespace.get("job", job["metadata"]["name"])) is None
        namespace.write_status(pod, ended(0, message))
    seen = finished(namespace, job)
    end = causes.of_attempt(Stage.TRAIN, seen, namespace.pods(job))
    assert (end.verdict, end.reports[0].training) == ("success", result)
