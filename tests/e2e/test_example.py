"""The demo itself, in the words that `make demo` uses: the models really learn."""

import dataclasses
import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest

from fairlead_chaos import patient
from fairlead_cluster.demo import exam, example, place, story

pytestmark = pytest.mark.e2e

DEMO_SECONDS = 1500
PAUSE_SECONDS = 0.5
NUM_QUESTIONS = 200
SEED = random.SystemRandom().randrange(10**9)
QUESTION, ANSWER = "We need 3.5 kilos of rice.", "3.5 kg"


@pytest.fixture(scope="module")
def where(installed):
    cache = installed.cluster.cache
    kubeconfig = installed.cluster.where.kubeconfig
    return place.Place(cache.path("kubectl"), cache.path("helm"), kubeconfig, None)


@pytest.fixture(scope="module")
def kube(installed):
    """kubectl in the demo's namespace; of what the demo made only the base stays, as for users."""
    demo = installed.kube(example.NAMESPACE)
    # Somebody may have tried `make airflow` on this cluster by hand.
    demo.run("delete", "modelservice,finetunejob", "--all", timeout=600)
    yield demo
    demo.run("delete", "modelservice,finetunejob", "--all", timeout=600)
    shutil.rmtree(demo.volume(example.CLAIM) / "finetunejobs")


class Onlooker(threading.Thread):
    """Somebody who watches the job's progress."""

    def __init__(self, kube):
        super().__init__(daemon=True)
        self.seen = []
        self.kubectl = None
        self.has_left = False
        self.lock = threading.Lock()
        """Held to begin a watch and to leave, so that none is begun afterwards."""
        path = '-o=jsonpath={.status.progress}{"\\n"}'
        name = f"--field-selector=metadata.name={example.FINE_TUNE_JOB}"
        self.words = [*kube.command, "get", "finetunejobs", name, "--watch", path]

    def run(self):
        """Watch anew where a watch ends: an API server that is busy may not even begin one."""
        while watch := self.begin():
            with watch:
                for line in watch.stdout:
                    progress = json.loads(line.strip() or "null")
                    if progress and progress not in self.seen:
                        self.seen.append(progress)
            time.sleep(PAUSE_SECONDS)

    def begin(self):
        with self.lock:
            if self.has_left:
                return None
            self.kubectl = subprocess.Popen(self.words, stdout=subprocess.PIPE, text=True)
            return self.kubectl

    def leave(self):
        with self.lock:
            self.has_left = True
            if self.kubectl is not None:
                self.kubectl.terminate()
        self.join()


@dataclasses.dataclass(frozen=True)
class Told:
    """A whole run of the demo."""

    lines: str
    progress: list
    """What could be seen of the training while it ran."""

    def exact(self, model):
        """The share of questions that a model answered exactly, in per cent, by the last lines."""
        found = re.search(rf"^  {model}  (\d+) of {NUM_QUESTIONS} exact", self.lines, re.MULTILINE)
        return 100 * int(found[1]) / NUM_QUESTIONS


@pytest.fixture(scope="module")
def told(installed, kube):
    onlooker = Onlooker(kube)
    onlooker.start()
    name = installed.cluster.where.name
    words = [sys.executable, "-m", "fairlead_cluster", "demo", "--name", name, f"--seed={SEED}"]
    words.append(f"--questions={NUM_QUESTIONS}")  # fewer leave too much to chance
    demo = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        lines, _ = demo.communicate(timeout=DEMO_SECONDS)
    except subprocess.TimeoutExpired:
        demo.terminate()
        lines, _ = demo.communicate()
        pytest.fail(f"the demo did not end in {DEMO_SECONDS} s; it said:\n{lines}")
    finally:
        onlooker.leave()
    assert demo.returncode == 0, lines
    return Told(lines, onlooker.seen)


def test_demo_shows_answers_scores_and_the_time_of_each_part(told):
    header, _, *rows = told.lines.split("\nquestion  ")[1].split("\n\n")[0].splitlines()
    assert header.split() == ["right", "answer", "base", "model", "fine-tuned"]
    assert len(rows) == story.NUM_SHOWN
    assert f"make demo SEED={SEED}" in told.lines
    spent = told.lines.split("How long it took:\n")[1].split("\n\n")[0].splitlines()
    assert len(spent) == 8
    assert spent[-1].split()[0] == "all"


def test_every_hint_of_the_demo_works_as_it_is_typed(told):
    hints = told.lines.split("What to try next:\n")[1].replace("\\\n", "")
    typed = re.findall(r"^  ((?:export|kubectl|\.venv/bin/fairlead) .*)$", hints, re.MULTILINE)
    script = "set -e\n" + "\n".join(typed).replace(".venv/bin/", f"{sys.executable} -m ")
    script = script.replace("-m fairlead ask", "-m fairlead_cli ask")
    said = patient.run(["sh", "-c", script])
    assert said.returncode == 0, said.stderr
    assert said.stdout.rstrip().endswith(f"\n{ANSWER}")


SCORES = "exact answers to unseen questions: "


def test_base_knows_its_own_task_alone(told):
    scores = json.loads(told.lines.split(SCORES)[1].splitlines()[0])
    assert scores["dates"] >= 0.9
    assert scores["amounts"] <= 0.05


def test_training_shows_step_loss_and_eta_while_it_runs(told):
    under_way = [seen for seen in told.progress if 0 < seen["step"] < seen["totalSteps"]]
    assert len(under_way) >= 3, told.progress
    losses = [seen["loss"] for seen in under_way if "loss" in seen]
    assert losses[-1] < losses[0]
    assert all(seen["eta"] for seen in under_way[1:])
    steps = [seen["step"] for seen in told.progress]
    assert steps == sorted(steps)


def test_two_pods_train_with_zero_2_as_one_world(told, kube):
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


def test_resource_tells_what_was_made(told, kube):
    status = kube.get("finetunejob", example.FINE_TUNE_JOB)["status"]
    assert status["phase"] == "Succeeded"
    assert status["artifact"]["uri"].startswith("pvc://demo/finetunejobs/units/")
    assert status["artifact"]["digest"].startswith("sha256:")
    assert status["progress"]["step"] == status["progress"]["totalSteps"]


def test_fine_tuned_model_answers_what_it_was_taught(told):
    assert told.exact("fine-tuned") >= 90, f"seed {SEED}"


def test_base_does_not_know_what_only_the_training_teaches(told):
    assert told.exact("base model") <= 5, f"seed {SEED}"


def test_shell_is_led_to_the_cluster_by_what_up_prints(told, installed):
    up = f"{sys.executable} -m fairlead_cluster up --name {installed.cluster.where.name}"
    script = f'eval "$({up})" && kubectl get finetunejob {example.FINE_TUNE_JOB} -n units -o name'
    said = patient.run(["sh", "-c", script])
    assert said.returncode == 0, said.stderr
    assert said.stdout == f"finetunejob.fairlead.dev/{example.FINE_TUNE_JOB}\n"


def test_base_is_kept_in_storage_and_not_made_again(told, where, kube, installed):
    story.make_base(where, installed.images)
    said = kube.run("logs", f"job/{example.BASE_JOB}")
    assert "bases/dates is there already" in said
    assert SCORES in said


def ask_the_service(kube, name):
    """Ask a model without a gateway, by its Service's address."""
    spec = kube.get("service", name)["spec"]
    address = f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"
    return exam.Examinee(name, address, address).answer(QUESTION, example.MAX_TOKENS)


def pods_of(kube, name):
    found = kube.list("pods", f"fairlead.dev/modelservice={name}")
    return {pod["metadata"]["uid"] for pod in found}


@pytest.fixture
def reinstalled(installed):
    """Whatever a test does to the chart, it stands again afterwards."""
    yield installed.release
    installed.release.install(installed.images)


def test_models_outlive_the_chart_and_its_minimal_profile_serves_them_without_a_gateway(
    told, where, kube, installed, reinstalled
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
    kube.wait_for("modelservice", name, "Ready")
    assert ask_the_service(kube, name) == answer
    reinstalled.install(installed.images)
    kube.wait_for("modelservice", name, "RouteReady")
    installed.kube(reinstalled.namespace).wait_for("gateway", reinstalled.name, "Programmed")
    examinee = exam.Examinee(name, story.url_of(where, name), story.gateway_of(where))
    exam.wait_until_answering(examinee, QUESTION)
    assert pods_of(kube, name) == pods, "a pod was replaced on the way"
