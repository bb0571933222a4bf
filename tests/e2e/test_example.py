"""The first example from nothing to scores, by the demo's own steps: the models really learn."""

import json
import random
import threading

import pytest

from fairlead_cluster.demo import exam, example, place, story

pytestmark = pytest.mark.e2e

SEED = random.SystemRandom().randrange(10**9)
QUESTIONS = 100


@pytest.fixture(scope="module")
def where(installed):
    cache = installed.cluster.cache
    kubeconfig = installed.cluster.where.kubeconfig
    return place.Place(cache.path("kubectl"), cache.path("helm"), kubeconfig, None)


@pytest.fixture(scope="module")
def kube(installed):
    return installed.kube(example.NAMESPACE)


@pytest.fixture(scope="module")
def base(where, kube, installed):
    """What the base knows of both tasks, by its own account."""
    story.make_base(where, installed.images)
    said = kube.run("logs", f"job/{example.BASE_JOB}")
    yield json.loads(said.split("exact answers to unseen questions: ")[1].splitlines()[0])
    where.run("delete", "namespace", example.NAMESPACE, "--wait=false", what="clean up")


class Onlooker(threading.Thread):
    """Somebody who looks at the job's progress every second."""

    def __init__(self, kube):
        super().__init__(daemon=True)
        self.kube, self.seen, self.over = kube, [], threading.Event()

    def run(self):
        while not self.over.wait(1):
            found = self.kube.find("finetunejob", example.FINE_TUNE_JOB)
            progress = ((found or {}).get("status") or {}).get("progress")
            if progress and progress not in self.seen:
                self.seen.append(progress)


@pytest.fixture(scope="module")
def trained(base, where, kube):
    """What could be seen of the training while it ran."""
    onlooker = Onlooker(kube)
    onlooker.start()
    try:
        story.train(where)
    finally:
        onlooker.over.set()
        onlooker.join()
    return onlooker.seen


@pytest.fixture(scope="module")
def result(trained, where):
    """Both models' answers to questions that nobody saw before."""
    story.serve(where)
    return story.ask(where, story.Chosen(SEED, QUESTIONS))


def share(answers, right):
    pairs = zip(answers, right, strict=True)
    return sum(answer == expected for answer, expected in pairs) / len(right)


def test_base_knows_its_own_task_alone(base):
    assert base["dates"] >= 0.9
    assert base["amounts"] <= 0.05


def test_training_shows_step_loss_and_eta_while_it_runs(trained):
    under_way = [seen for seen in trained if 0 < seen["step"] < seen["totalSteps"]]
    assert len(under_way) >= 3, trained
    losses = [seen["loss"] for seen in under_way if "loss" in seen]
    assert losses[-1] < losses[0]
    assert all(seen["eta"] for seen in under_way[1:])
    steps = [seen["step"] for seen in trained]
    assert steps == sorted(steps)


def test_two_pods_train_with_zero_2_as_one_world(trained, kube):
    job = kube.get("finetunejob", example.FINE_TUNE_JOB)
    assert (job["spec"]["numNodes"], job["spec"]["deepspeed"]["zeroStage"]) == (2, 2)
    stage = kube.get("job", f"{example.FINE_TUNE_JOB}-train-a1")
    assert stage["status"]["succeeded"] == 2
    message = kube.run(
        "get", "pods", "-l", f"batch.kubernetes.io/job-name={stage['metadata']['name']}", "-o",
        "jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}",
    )  # fmt: skip
    training = json.loads(message)["training"]
    assert (training["worldSize"], training["numNodes"]) == (2, 2)
    assert training["step"] == job["spec"]["hyperparameters"]["maxSteps"]


def test_resource_tells_what_was_made(trained, kube):
    status = kube.get("finetunejob", example.FINE_TUNE_JOB)["status"]
    assert status["phase"] == "Succeeded"
    assert status["artifact"]["uri"].startswith("pvc://demo/finetunejobs/units/")
    assert status["artifact"]["digest"].startswith("sha256:")
    assert status["progress"]["step"] == status["progress"]["totalSteps"]


def test_fine_tuned_model_answers_what_it_was_taught(result):
    assert share(result.tuned, result.questions.right) >= 0.9, f"seed {SEED}"


def test_base_does_not_know_what_only_the_training_teaches(result):
    assert share(result.base, result.questions.right) <= 0.05, f"seed {SEED}"


def ask_the_service(kube, name):
    """Ask a model without a gateway, by its Service's address."""
    spec = kube.get("service", name)["spec"]
    address = f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"
    return exam.Examinee(name, address, address).answer("We need 3.5 kilos of rice.", 8)


def pods_of(kube, name):
    found = kube.list("pods", f"fairlead.dev/modelservice={name}")
    return {pod["metadata"]["uid"] for pod in found}


@pytest.fixture
def reinstalled(installed):
    """Whatever a test does to the chart, it stands again afterwards."""
    yield installed.release
    installed.release.install(installed.images)


def test_models_outlive_the_chart_and_its_minimal_profile_serves_them_without_a_gateway(
    result, where, kube, installed, reinstalled
):
    name = example.TUNED_SERVICE
    answer, pods = ask_the_service(kube, name), pods_of(kube, name)
    reinstalled.uninstall()
    assert ask_the_service(kube, name) == answer
    minimal = ["operator.replicas=1", "gateway.enabled=false", "monitoring.enabled=false"]
    reinstalled.install(installed.images, minimal)
    kube.wait(
        "modelservice",
        name,
        lambda found: kube.condition(found, "RouteReady").reason == "NoGateway",
        120,
        "NoGateway",
    )
    assert kube.find("httproute", name) is None
    assert kube.condition(kube.get("modelservice", name), "Ready").status == "True"
    assert ask_the_service(kube, name) == answer
    reinstalled.install(installed.images)
    kube.wait_for("modelservice", name, "RouteReady", 120)
    examinee = exam.Examinee(name, story.url_of(where, name), story.gateway_of(where))
    exam.wait_until_answering(examinee, "We need 3.5 kilos of rice.")
    assert pods_of(kube, name) == pods, "a pod was replaced on the way"
