"""What stops a job from running is a condition that goes away when it is mended."""

import json

import pytest

from fairlead_operator.finetune import arguments, config
from fairlead_operator.finetune.options import Options

RWX, ROX, RWO = (
    {"spec": {"accessModes": [mode]}} for mode in ("ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce")
)
FROM_MAP = [{"name": "rows", "configMapRef": {"name": "my-rows"}}]
FROM_CLAIM = [{"name": "rows", "uri": "pvc://data/rows"}]


@pytest.mark.parametrize(
    ("spec", "claims", "reason", "words"),
    [
        pytest.param({}, {}, "ClaimNotFound", "PersistentVolumeClaim store", id="storage"),
        pytest.param(
            {"model": {"uri": "pvc://models/base"}},
            {"store": RWO},
            "ClaimNotFound",
            "PersistentVolumeClaim models",
            id="model",
        ),
        pytest.param(
            {"datasets": FROM_CLAIM},
            {"store": RWO, "data": None},
            "ClaimNotFound",
            "PersistentVolumeClaim data",
            id="dataset",
        ),
        pytest.param(
            {"numNodes": 2},
            {"store": RWO},
            "StorageNotShared",
            "store is ReadWriteOnce, but 2 nodes use it: it must be ReadWriteMany",
            id="storage-of-one-node",
        ),
        pytest.param(
            {"numNodes": 2}, {"store": ROX}, "StorageNotShared", "ReadOnlyMany", id="storage-rox"
        ),
        pytest.param(
            {"numNodes": 2, "model": {"uri": "pvc://models/base"}},
            {"store": RWX, "models": RWO},
            "StorageNotShared",
            "must be ReadOnlyMany or ReadWriteMany",
            id="model-of-one-node",
        ),
        pytest.param(
            {"datasets": FROM_MAP}, {"store": RWO}, "ConfigMapNotFound", "my-rows", id="config-map"
        ),
        pytest.param(
            {"hyperparameters": {"extraArgs": {"output_dir": "/x", "push_to_hub": "true"}}},
            {"store": RWO},
            "ArgumentRefused",
            "spec.hyperparameters.extraArgs: output_dir, push_to_hub",
            id="argument",
        ),
        pytest.param(
            {"deepspeed": {"config": {"zero_optimization": {"stage": 3}}}},
            {"store": RWO},
            "ArgumentRefused",
            "spec.deepspeed.config: zero_optimization.stage",
            id="deepspeed-key",
        ),
        pytest.param(
            {"deepspeed": {"config": {"a": json.loads("[" * 20 + "]" * 20)}}},
            {"store": RWO},
            "ArgumentRefused",
            "spec.deepspeed.config: more than 16 objects and lists are in each other",
            id="deepspeed-levels",
        ),
        pytest.param(
            {"datasets": [{"name": f"d{n}", "inline": '"' * 131072} for n in range(4)]},
            {"store": RWO},
            "RunFileTooLarge",
            "put the rows on a claim",
            id="inline-rows",
        ),
    ],
)
def test_refusal_names_what_and_the_way_out(new_world, spec, claims, reason, words):
    world = new_world(**spec)
    world.claims = claims
    world.settle()
    admitted = world.condition("Admitted")
    assert (admitted["status"], admitted["reason"]) == ("False", reason)
    assert words in admitted["message"]
    assert (world.status["phase"], world.status["reason"]) == ("Pending", reason)
    assert world.created == []
    assert world.condition("Failed") is None
    assert world.plan().requeue_at is not None


@pytest.mark.parametrize(
    ("spec", "claims"),
    [
        pytest.param({"numNodes": 2}, {"store": RWX}, id="shared"),
        pytest.param({}, {"store": RWO}, id="one-node"),
        pytest.param(
            {"numNodes": 2, "model": {"uri": "pvc://m/b"}}, {"store": RWX, "m": ROX}, id="rox-model"
        ),
        pytest.param(
            {"numNodes": 2, "datasets": FROM_CLAIM}, {"store": RWX, "data": RWO}, id="rwo-dataset"
        ),
        pytest.param(
            {"hyperparameters": {"extraArgs": {"weight_decay": "0.1"}}},
            {"store": RWO},
            id="allowed",
        ),
        pytest.param(
            {"deepspeed": {"config": {"zero_optimization": {"overlap_comm": True}}}},
            {"store": RWO},
            id="deepspeed",
        ),
    ],
)
def test_what_can_run_is_admitted(new_world, spec, claims):
    world = new_world(**spec)
    world.claims = claims
    world.settle()
    assert world.condition("Admitted")["status"] == "True"
    assert "job-prepare-a1" in world.created


def test_job_begins_when_the_claim_appears(new_world):
    world = new_world()
    world.claims = {}
    world.settle()
    world.claims = {"store": RWO}
    world.settle()
    assert world.condition("Admitted")["status"] == "True"
    assert "job-prepare-a1" in world.created


def test_job_begins_when_the_config_map_appears(new_world):
    world = new_world(datasets=FROM_MAP)
    world.settle()
    world.maps = {"my-rows": True}
    world.settle()
    assert "job-prepare-a1" in world.created


def test_attempt_that_runs_is_left_alone_when_the_spec_becomes_refused(new_world):
    world = new_world()
    world.settle()
    world.claims = {}
    world.settle()
    assert world.condition("Admitted")["status"] == "False"
    assert (list(world.jobs), world.status["phase"]) == (["job-prepare-a1"], "Preparing")


@pytest.mark.parametrize("suspend", [True, False], ids=["suspended", "running"])
def test_refusal_is_asked_about_again_whatever_the_job_does(new_world, suspend):
    """Nobody tells of claims: without another look the refusal would stand though it is over."""
    world = new_world()
    world.settle()
    world.start_pods()
    world.set_suspend(suspend)
    world.settle()
    world.claims["store"] = None
    assert world.condition("Admitted")["status"] == "True"
    found = world.reconcile()
    assert world.condition("Admitted")["status"] == "False"
    assert (found.requeue_at - world.now).total_seconds() == pytest.approx(30, abs=1)


def test_next_stage_waits_while_the_spec_is_refused(new_world):
    world = new_world()
    world.settle()
    world.claims = {}
    world.end_all()
    assert (world.status["reason"], list(world.jobs)) == ("ClaimNotFound", ["job-prepare-a1"])


def test_administrator_extends_the_list_of_arguments(new_world):
    allowed = Options(trainer_image="t", extra_args_allowed=frozenset({"torch_compile"}))
    world = new_world(allowed, hyperparameters={"extraArgs": {"torch_compile": "true"}})
    world.settle()
    assert world.condition("Admitted")["status"] == "True"


@pytest.mark.parametrize(
    "argument",
    [
        "output_dir", "hub_token", "hub_model_id", "push_to_hub", "report_to", "logging_dir",
        "resume_from_checkpoint", "deepspeed", "fsdp", "accelerator_config", "learning_rate",
        "num_train_epochs", "per_device_train_batch_size", "save_steps", "bf16", "seed",
        "trust_remote_code", "model_init_kwargs", "chat_template_path", "dataset_kwargs",
        "torch_compile_backend", "ddp_backend", "use_cpu", "local_rank", "max_length", "packing",
        "optim_target_modules", "debug", "trackio_space_id", "warmup_steps", "",
    ],
)  # fmt: skip
def test_dangerous_or_owned_argument_is_not_on_the_list(argument):
    assert arguments.refused([argument]) == [argument]


def test_run_file_has_room_for_the_certificate_in_the_config_map():
    assert config.MAX_BYTES + 40_000 <= 1024 * 1024
