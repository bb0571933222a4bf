"""Two real ranks under the real launcher: trained, killed, resumed, diverged, exported.

Needs the trainer's own environment (requirements/trainer.txt); tests/e2e brings it into the image.
"""

import importlib
import json
import math
import multiprocessing
import os
import socket
import subprocess
import sys
import time

import pytest

from fairlead_api import names
from fairlead_api.artifact import ARTIFACT_FILE, ArtifactRecord
from fairlead_api.termination import EXIT_CODES, Cause, read
from fairlead_trainer import settings
from fairlead_trainer.train import elastic, launcher, stage, worker

pytest.importorskip("torch", reason="torch is missing: the e2e tier runs this in the image")
pytest.importorskip("deepspeed", reason="deepspeed is missing: the e2e tier runs this in the image")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

ROWS = "\n".join(
    json.dumps({"prompt": f"{number} kilos", "completion": f"{number}000 g"})
    for number in range(200)
)
HYPER = {"maxSteps": 6, "learningRate": 0.01, "perDeviceTrainBatchSize": 2}
UNTAUGHT_LOSS = math.log(257)  # where every token of the vocabulary is as likely
BOUND_SECONDS = 900
TELLS_AT_EXIT = """
import atexit, os, sys

@atexit.register
def tell():
    distributed = sys.modules.get("torch.distributed")
    if distributed and "LOCAL_RANK" in os.environ:
        is_in_it = distributed.is_initialized()
        print(f"rank {os.environ['RANK']} ends in the group: {is_in_it}", flush=True)
"""


def free_port():
    """A port that torchrun can have: given 0 it would tell the ranks to meet at port 0."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def base(claim):
    """A random Llama with a character tokenizer."""
    import torch

    torch.set_num_threads(1)  # a pool of threads would not survive the fork of only_rank
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
    """Run stages of one job, in one pod."""

    class Job:
        folder = tmp_path / "mnt/claims/demo/finetunejobs/job/u1"

        def __init__(self):
            self.processes = []
            self.log = tmp_path / "log"

        def configure(self, **spec):
            defaults = {
                "datasets": [{"name": "amounts", "inline": ROWS}],
                "prepare": {"maxLength": 64},
                "hyperparameters": HYPER,
                "deepspeed": {"zeroStage": 2},
                "checkpoint": {"saveSteps": 2},
                "numProcPerNode": 2,
            }
            self.spec = defaults | spec
            write_run(**self.spec)
            assert self.run("prepare")[0] == 0

        def start(self, stage, attempt=1):
            torchrun = {
                "PET_NNODES": "1",
                "PET_NPROC_PER_NODE": str(self.spec["numProcPerNode"]),
                "PET_MASTER_PORT": str(free_port()),
                "OMP_NUM_THREADS": "1",
                "DS_ACCELERATOR": "cpu",
                "HF_HUB_OFFLINE": "1",
            }
            attempts = {names.ENV_ATTEMPT: str(attempt)}
            site = {"PYTHONPATH": str(tmp_path)}
            (tmp_path / "tmp").mkdir(exist_ok=True)
            (tmp_path / "sitecustomize.py").write_text(TELLS_AT_EXIT)
            with self.log.open("a") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "fairlead_trainer", stage],
                    env=dict(os.environ) | environment | torchrun | attempts | site,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            self.processes.append(process)
            return process

        def run(self, stage, attempt=1):
            return self.wait(self.start(stage, attempt))

        def wait(self, process):
            code = process.wait(BOUND_SECONDS)
            end = read((tmp_path / names.TERMINATION_LOG.lstrip("/")).read_text())
            assert end is not None
            return code, end

        def until(self, process, condition):
            """Wait for something to appear while the process runs."""
            deadline = time.monotonic() + BOUND_SECONDS
            while not condition():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)

        def checkpoints(self):
            """Names of the committed checkpoints."""
            return sorted(path.name for path in self.folder.glob("checkpoints/step-*"))

    made = Job()
    yield made
    for process in made.processes:
        kill_pod(process)
    print(made.log.read_text()[-8000:])  # shown by pytest where the test failed


@pytest.fixture
def only_rank(job, environment, tmp_path):
    """A function that fails as a job's only rank does, as torchrun starts it.

    In a fork of this process, which has long imported what a rank imports for seconds.
    """
    importlib.import_module("fairlead_trainer.train.sft")

    def run(torchrun):
        os.environ.update(environment | torchrun)
        worker.main()

    def fail():
        stage.fresh_scratch(settings.load("train", environment))
        errors = tmp_path / "error.json"
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        variables |= dict.fromkeys(("RANK", "LOCAL_RANK"), "0")
        variables |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "1")
        variables |= {elastic.ENV_ERROR_FILE: str(errors), "HF_HUB_OFFLINE": "1"}
        child = multiprocessing.get_context("fork").Process(target=run, args=(variables,))
        child.start()
        child.join(BOUND_SECONDS)
        return elastic.failure(launcher.Ended(child.exitcode), errors)

    return fail


def kill_pod(process):
    """End a launcher and its descendants, of which torchrun's ranks lead sessions of their own."""
    import psutil

    if process.poll() is not None:
        return
    launcher = psutil.Process(process.pid)
    found = [launcher, *launcher.children(recursive=True)]
    for each in found:
        each.kill()
    process.wait()
    psutil.wait_procs(found)


def configured(checkpoint):
    """The configuration of the DeepSpeed engine that wrote a checkpoint."""
    import torch

    (file,) = checkpoint.rglob("mp_rank_00_model_states.pt")
    return torch.load(file, weights_only=False)["ds_config"]


def num_tokens(checkpoint):
    """How many tokens all ranks had seen when the trainer logged last before a checkpoint."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    return state["log_history"][-1]["num_tokens"]


def same_rows(row):
    """A dataset whose rows are all alike, so that what is seen of them can be counted."""
    return {"name": "same", "inline": "\n".join([json.dumps(row)] * 10)}


def test_two_ranks_train_and_export_a_model_and_tell_a_lost_result_again(job):
    raw = {"zero_optimization": {"reduce_bucket_size": 12345}}
    job.configure(
        datasets=[same_rows({"text": "two kilos: 2000 g"})],
        prepare={"maxLength": 64, "packing": False},
        deepspeed={"zeroStage": 1, "config": raw},
    )
    code, end = job.run("train")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.training is not None
    assert (end.training.step, end.training.world_size, end.training.num_nodes) == (6, 2, 1)
    assert end.training.checkpoint == "checkpoints/step-00000006-a1"
    assert job.checkpoints() == ["step-00000004-a1", "step-00000006-a1"]
    said = job.log.read_text()
    assert [f"rank {rank} ends in the group: False" in said for rank in (0, 1)] == [True, True]
    zero = configured(job.folder / end.training.checkpoint)["zero_optimization"]
    assert (zero["stage"], zero["reduce_bucket_size"]) == (1, 12345)
    num_rows = 5 * 2 * HYPER["perDeviceTrainBatchSize"]  # at step 5 is the last line of the log
    of_a_row = len("two kilos: 2000 g") + 1
    assert num_tokens(job.folder / end.training.checkpoint) == num_rows * of_a_row
    code, end = job.run("export")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    content = (job.folder / "artifact" / ARTIFACT_FILE).read_bytes()
    files = {file.path for file in ArtifactRecord.model_validate_json(content).files}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files
    (job.folder / "results/train.json").unlink()
    before = job.checkpoints()
    code, end = job.run("train", attempt=2)
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.training is not None
    assert end.training.step == 6
    assert end.training.loss > 0
    assert end.training.checkpoint == "checkpoints/step-00000006-a1"
    assert job.checkpoints() == before  # without another step, that is


def shapes(folder):
    """The shape of each weight in a model's folder."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as weights:
        return {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118


def test_sigterm_saves_before_it_ends_and_the_next_attempt_goes_on_from_there(job, base, tmp_path):
    # The stage whose weights are apart as well; tests/e2e kills pods of a lower one.
    job.configure(
        hyperparameters=HYPER | {"maxSteps": 60},
        checkpoint={"saveSteps": 1_000},
        deepspeed={"zeroStage": 3},
    )
    process = job.start("train")
    job.until(process, (tmp_path / "tmp/fairlead-train-0/heartbeat").exists)
    process.terminate()
    code, end = job.wait(process)
    assert (code, end.cause) == (EXIT_CODES[Cause.DISRUPTED], Cause.DISRUPTED)
    (saved,) = job.checkpoints()
    assert saved < "step-00000060"
    assert f"saved as {saved}" in end.message
    assert end.training is not None
    assert end.training.checkpoint == f"checkpoints/{saved}"
    assert saved.startswith(f"step-{end.training.step:08}-")
    assert end.training.world_size == 2
    code, end = job.run("train", attempt=2)
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.training is not None
    assert end.training.step == 60
    assert end.training.resumed_from == f"checkpoints/{saved}"
    assert job.run("export")[0] == 0
    assert shapes(job.folder / "artifact") == shapes(base)  # gathered, that is


@pytest.mark.parametrize(
    ("weight", "zero", "what"),
    [
        pytest.param(math.nan, 0, "loss", id="loss"),
        # Large enough for the gradients only: DeepSpeed skips such steps and the loss stays.
        pytest.param(1e38, 2, "gradient", id="gradient"),
    ],
)
def test_what_is_no_finite_number_ends_the_run_by_name(job, only_rank, base, weight, zero, what):
    job.configure(
        hyperparameters=HYPER | {"maxSteps": 40}, deepspeed={"zeroStage": zero}, numProcPerNode=1
    )
    weights = base / "model.safetensors"
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    save_file({name: torch.full_like(it, weight) for name, it in tensors.items()}, weights)
    failure = only_rank()
    assert failure.cause is Cause.DIVERGED
    assert f"the {what} is not a finite number" in failure.message
    assert "learningRate" in failure.message
    assert job.checkpoints() == []


CHAT = "{% for turn in messages %}{{ turn.role }}:{{ turn.content }}{{ eos_token }}{% endfor %}"


def test_adapter_is_trained_on_whole_conversations_and_exported_apart(job, base):
    (base / "chat_template.jinja").write_text(CHAT)
    turns = [
        {"role": "user", "content": "two kilos"},
        {"role": "assistant", "content": "2000 g"},
    ]
    job.configure(
        tuning={"type": "LoRA", "r": 4},
        output={"mergeAdapter": False},
        datasets=[same_rows({"messages": turns})],
        prepare={"maxLength": 64, "packing": False},
        hyperparameters=HYPER | {"maxSteps": 20},
        deepspeed={"zeroStage": 3},
        numProcPerNode=1,
    )
    code, end = job.run("train")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.training is not None
    assert (end.training.step, end.training.checkpoint) == (20, "checkpoints/step-00000020-a1")
    num_rows = 20 * HYPER["perDeviceTrainBatchSize"]
    of_a_row = len("user:two kilos") + 1 + len("assistant:2000 g") + 1
    assert num_tokens(job.folder / end.training.checkpoint) == num_rows * of_a_row
    assert 0 < end.training.loss < UNTAUGHT_LOSS
    code, end = job.run("export")
    assert (code, end.cause) == (0, Cause.SUCCEEDED)
    assert end.artifact is not None
    assert end.artifact.kind == "Adapter"


@pytest.mark.parametrize(
    ("spec", "cause", "told"),
    [
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
        pytest.param(
            {
                "datasets": [
                    {
                        "name": "long",
                        "inline": json.dumps({"prompt": "kilos " * 30, "completion": "g"}),
                    }
                ]
            },
            Cause.DATASET_ERROR,
            "nothing is left to learn from: 1 of 1 rows are longer than prepare.maxLength",
            id="prompts-fill-the-length",
        ),
        pytest.param(
            # A model that is parted while it loads would be the first to read that.
            {"deepspeed": {"zeroStage": 3, "config": {"zero_optimization": {"overlap": True}}}},
            Cause.USER_ERROR,
            "deepspeed.config: DeepSpeedZeroConfig: overlap: Extra inputs are not permitted",
            id="no-such-key-of-deepspeed",
        ),
        pytest.param(
            {
                "prepare": {"maxLength": 64, "packing": False},
                "training_arguments": {"padding_free": "true"},
            },
            Cause.USER_ERROR,
            "don't go together: When `padding_free=True` without packing",
            id="arguments-that-exclude-each-other",
        ),
    ],
)
def test_users_error_is_told_as_such(job, only_rank, spec, cause, told):
    job.configure(numProcPerNode=1, **spec)
    failure = only_rank()
    assert failure.cause is cause
    assert told in failure.message
