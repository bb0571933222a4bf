"""Real training in real pods: killed and resumed, LoRA, suspended, deleted.

The base is tiny and random: what is shown here is the machinery. What two pods with ZeRO-2 learn
is shown by the example.
"""

import json
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.e2e

CHECKPOINT_SECONDS, COMPLETE_SECONDS = 600, 1500  # other work runs on the same cores
NUM_STEPS, SAVE_STEPS = 1600, 100
ROWS = "\n".join(
    json.dumps({"prompt": f"{number} grams", "completion": f" {number} g"}) for number in range(400)
)


def job(name, base, **spec):
    """A FineTuneJob of few steps; ``spec`` replaces whole members."""
    plain = {
        "model": {"uri": base},
        "datasets": [{"name": "amounts", "inline": ROWS}],
        "trainer": {"type": "SFT"},
        "prepare": {"maxLength": 128},
        "hyperparameters": {"maxSteps": 8, "learningRate": 0.001},
        "checkpoint": {"saveSteps": 4},
        "storage": {"claimName": "storage"},
        "resourcesPerNode": {"requests": {"cpu": "500m", "memory": "1Gi"}},
    }
    return {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": plain | spec,
    }


@pytest.fixture
def folder(shared_kube):
    """Where a FineTuneJob's folder lies on this machine."""

    def find(name: str) -> Path:
        uid = shared_kube.get("finetunejob", name)["metadata"]["uid"]
        return shared_kube.volume("storage") / "finetunejobs" / name / uid

    return find


LONG = {
    "hyperparameters": {"maxSteps": NUM_STEPS, "learningRate": 0.001},
    "checkpoint": {"saveSteps": SAVE_STEPS},
}
"""Half a minute is left after the first checkpoint, at 20 ms a step: a kubectl that meets a busy
API server takes ten seconds of it."""


def wait_for_checkpoint(kube, place):
    """Wait for the first by its file alone: kubectl takes seconds, in which training goes on."""
    latest = place / "checkpoints" / "latest"
    deadline = time.monotonic() + CHECKPOINT_SECONDS
    while not latest.exists():
        assert time.monotonic() < deadline, f"no first checkpoint\n{kube.clues()}"
        time.sleep(0.2)


def test_killed_worker_resumes_from_the_last_checkpoint(shared_kube, base, folder):
    name = "killed"
    shared_kube.apply(job(name, base, numNodes=2, **LONG))
    wait_for_checkpoint(shared_kube, folder(name))
    one = f"fairlead.dev/finetunejob={name},batch.kubernetes.io/job-completion-index=1"
    shared_kube.run("delete", "pod", "-l", one, "--force")
    shared_kube.wait_for("finetunejob", name, "Complete", COMPLETE_SECONDS)
    status = shared_kube.get("finetunejob", name)["status"]
    train = next(stage for stage in status["stages"] if stage["name"] == "Train")
    assert train["attempt"] == 2
    assert (train.get("failures", 0), train["disruptions"]) == (0, 1)
    result = json.loads((folder(name) / "results/train.json").read_text())
    assert result["training"]["step"] == NUM_STEPS
    assert result["training"]["resumedFrom"]
    assert status["checkpoint"]["resumedFrom"] == result["training"]["resumedFrom"]


def test_lora_on_a_config_map_and_a_parquet_file_is_merged_into_a_whole_model(
    shared_kube, base, folder
):
    name = "lora"
    shared_kube.run("create", "configmap", "rows", f"--from-literal=rows.jsonl={ROWS}")
    sources = [
        {"name": "amounts", "configMapRef": {"name": "rows"}},
        {"name": "volumes", "uri": "pvc://storage/data/volumes.parquet"},
    ]
    shared_kube.apply(
        job(
            name,
            base,
            tuning={"type": "LoRA", "r": 4},
            datasets=sources,
            numNodes=2,  # and two ranks in each: the only run with several of both
            numProcPerNode=2,
        )
    )
    shared_kube.wait_for("finetunejob", name, "Complete", 600)
    training = json.loads((folder(name) / "results/train.json").read_text())["training"]
    assert (training["worldSize"], training["numNodes"]) == (4, 2)
    prepared = json.loads((folder(name) / "results/prepare.json").read_text())["prepared"]
    assert prepared["numRows"] == 450
    artifact = folder(name) / "artifact"
    assert (artifact / "config.json").exists()
    assert not (artifact / "adapter_config.json").exists()
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in artifact.glob("*.safetensors"))
    assert shared_kube.get("finetunejob", name)["status"]["artifact"]["kind"] == "Model"


def test_broken_file_on_a_claim_is_named_with_its_line(shared_kube, base):
    name = "broken-file"
    sources = [{"name": "volumes", "uri": "pvc://storage/data/broken.jsonl"}]
    shared_kube.apply(job(name, base, datasets=sources))
    failed = shared_kube.wait_for("finetunejob", name, "Failed")
    assert failed.reason == "DatasetError"
    words = ["volumes", "broken.jsonl", "line 2"]
    assert [word for word in words if word not in failed.message] == []


def test_training_that_fails_says_why_on_the_resource(shared_kube, base):
    name = "no-such-layer"
    tuning = {"type": "LoRA", "targetModules": ["no_such_layer"]}
    shared_kube.apply(job(name, base, tuning=tuning, maxRestarts=0))
    failed = shared_kube.wait_for("finetunejob", name, "Failed")
    assert failed.reason == "UserError"
    assert "no_such_layer" in failed.message
    shown = shared_kube.run("describe", "finetunejob", name)
    assert "no_such_layer" in shown


def test_suspended_job_frees_its_pods_and_goes_on_where_it_was(shared_kube, base, folder):
    name = "suspended"
    shared_kube.apply(job(name, base, **LONG))
    wait_for_checkpoint(shared_kube, folder(name))
    shared_kube.run(
        "patch",
        "finetunejob",
        name,
        "--type=merge",
        "-p",
        yaml.safe_dump({"spec": {"suspend": True}}),
    )
    shared_kube.wait_for("finetunejob", name, "Suspended")
    selector = f"fairlead.dev/finetunejob={name},fairlead.dev/stage=train"
    shared_kube.wait("finetunejob", name, lambda _: not shared_kube.list("pods", selector))
    shared_kube.run(
        "patch", "finetunejob", name, "--type=merge", "-p", '{"spec":{"suspend":false}}'
    )
    shared_kube.wait_for("finetunejob", name, "Complete", COMPLETE_SECONDS)
    status = shared_kube.get("finetunejob", name)["status"]
    assert status["checkpoint"]["resumedFrom"]
    assert shared_kube.condition({"status": status}, "Suspended").status == "False"


def test_deleting_a_job_in_training_takes_everything_but_its_storage(shared_kube, base, folder):
    name = "deleted"
    steps = {"maxSteps": 100000, "learningRate": 0.001}
    shared_kube.apply(job(name, base, hyperparameters=steps))
    shared_kube.wait_for("finetunejob", name, "WorkersReady")
    kept = folder(name)
    shared_kube.run("delete", "finetunejob", name, "--wait=true", timeout=600)
    selector = f"fairlead.dev/finetunejob={name}"
    for kind in ("jobs", "pods", "configmaps", "services"):
        shared_kube.wait(
            "pvc",
            "storage",
            lambda _, kind=kind: not shared_kube.list(kind, selector),
            180,
            f"end of the {kind}",
        )
    assert (kept / "data").is_dir()
