"""Two real ranks under the real launcher: trained, killed, resumed, diverged, exported.

Needs the trainer's own environment (requirements/trainer.txt) and runs a few minutes:
``python -m pytest -m torch tests/trainer`` there.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fairlead_api import names
from fairlead_api.artifact import ARTIFACT_FILE, ArtifactRecord
from fairlead_api.termination import EXIT_CODES, Cause, read

pytest.importorskip("torch", reason="torch is in the trainer's environment only")
pytest.importorskip("deepspeed", reason="deepspeed is in the trainer's environment only")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

ROWS = "\n".join(
    json.dumps({"prompt": f"{number} kilos", "completion": f"{number}000 g"})
    for number in range(200)
)
HYPER = {"maxSteps": 6, "learningRate": 0.01, "perDeviceTrainBatchSize": 2}
BOUND_SECONDS = 900


@pytest.fixture
def base(claim):
    """A random Llama with a character tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    folder = claim / "bases/dates"
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def job(base, write_run, environment, tmp_path):
    """Run a stage of one job; two ranks in one pod."""

    class Job:
        folder = tmp_path / "mnt/claims/demo/finetunejobs/job/u1"
        processes = []

        def configure(self, **spec):
            defaults = {
                "datasets": [{"name": "amounts", "inline": ROWS}],
                "prepare": {"maxLength": 64},
                "hyperparameters": HYPER,
                "deepspeed": {"zeroStage": 2},
                "checkpoint": {"saveSteps": 2},
                "numProcPerNode": 2,
            }
            write_run(**(defaults | spec))
            assert self.run("prepare")[0] == 0

        def start(self, stage, attempt=1):
            torchrun = {
                "PET_NNODES": "1",
                "PET_NPROC_PER_NODE": "2",
                "PET_MASTER_PORT": "0",
                "OMP_NUM_THREADS": "1",
                "DS_ACCELERATOR": "cpu",
                "HF_HUB_OFFLINE": "1",
            }
            attempts = {names.ENV_ATTEMPT: str(attempt)}
            (tmp_path / "tmp").mkdir(exist_ok=True)
            process = subprocess.Popen(
                [sys.executable, "-m", "fairlead_trainer", stage],
                env=dict(os.environ) | environment | torchrun | attempts,
                stdout=(tmp_path / "log").open("a"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.processes.append(process)
            return process

        def run(self, stage, attempt=1):
            return self.wait(self.start(stage, attempt))

        def wait(self, process):
            code = process.wait(BOUND_SECONDS)
            end = read((tmp_path / names.TERMINATION_LOG.lstrip("/")).read_text())
            assert end is not None
            print((tmp_path / "log").read_text()[-4000:])
            return code, end

        def until_saved(self, process):
            """Wait for the first committed checkpoint."""
            deadline = time.monotonic() + BOUND_SECONDS
            while not list(self.folder.glob("checkpoints/step-*")):
                assert process.poll() is None, (tmp_path / "log").read_text()[-4000:]
                assert time.monotonic() < deadline
                time.sleep(0.1)

    yield Job()
    for process in Job.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_two_ranks_train_and_export_a_model(job):
    job.configure()
    code, end = job.run("train")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.training is not None
    assert (end.training.step, end.training.world_size, end.training.num_nodes) == (6, 2, 1)
    assert end.training.checkpoint == "checkpoints/step-00000006-a1"
    assert [path.name for path in sorted(job.folder.glob("checkpoints/step-*"))] == [
        "step-00000004-a1",
        "step-00000006-a1",
    ]
    code, end = job.run("export")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    record = ArtifactRecord.model_validate_json(
        (job.folder / "artifact" / ARTIFACT_FILE).read_bytes()
    )
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        file.path for file in record.files
    }


def test_killed_run_goes_on_from_its_newest_checkpoint(job):
    job.configure(hyperparameters=HYPER | {"maxSteps": 40})
    process = job.start("train")
    job.until_saved(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    code, end = job.run("train", attempt=2)
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.training is not None
    assert end.training.step == 40
    assert end.training.resumed_from is not None
    assert end.training.resumed_from.endswith("-a1")


def test_sigterm_saves_before_it_ends(job):
    job.configure(
        hyperparameters=HYPER | {"maxSteps": 100_000}, checkpoint={"saveSteps": 1_000_000}
    )
    process = job.start("train")
    heartbeat = job.folder.parents[5] / "tmp/fairlead-train-0/heartbeat"
    deadline = time.monotonic() + BOUND_SECONDS
    while not heartbeat.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.terminate()
    code, end = job.wait(process)
    assert (code, end.cause) == (EXIT_CODES[Cause.DISRUPTED], Cause.DISRUPTED)
    assert "saved as step-" in end.message
    assert len(list(job.folder.glob("checkpoints/step-*-a1"))) == 1


def test_loss_that_is_no_number_ends_the_run_by_name(job):
    job.configure(hyperparameters=HYPER | {"learningRate": 10, "maxSteps": 400})
    weights = job.folder.parents[2] / "bases/dates/model.safetensors"
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    save_file({name: torch.full_like(it, 1e38) for name, it in tensors.items()}, weights)
    code, end = job.run("train")
    assert (code, end.cause) == (EXIT_CODES[Cause.DIVERGED], Cause.DIVERGED)
    assert "learningRate" in end.message
    assert list(job.folder.glob("checkpoints/step-*")) == []


@pytest.mark.parametrize(("merge", "kind"), [(True, "Model"), (False, "Adapter")])
def test_adapter_is_trained_and_exported(job, merge, kind):
    job.configure(tuning={"type": "LoRA", "r": 4}, output={"mergeAdapter": merge})
    assert job.run("train")[0] == 0
    code, end = job.run("export")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.artifact is not None
    assert end.artifact.kind == kind


@pytest.mark.parametrize(
    ("spec", "cause", "told"),
    [
        pytest.param(
            {"model": {"uri": "pvc://demo/nowhere"}},
            Cause.MODEL_ERROR,
            "there is no such folder",
            id="no-model",
        ),
        pytest.param(
            {
                "datasets": [
                    {
                        "name": "chat",
                        "inline": json.dumps(
                            {
                                "prompt": [{"role": "user", "content": "a"}],
                                "completion": [{"role": "assistant", "content": "b"}],
                            }
                        ),
                    }
                ]
            },
            Cause.USER_ERROR,
            "no chat template",
            id="no-chat-template",
        ),
    ],
)
def test_users_error_reaches_the_message(job, spec, cause, told):
    job.configure(**spec)
    code, end = job.run("train")
    assert (code, end.cause) == (EXIT_CODES[cause], cause)
    assert told in end.message
