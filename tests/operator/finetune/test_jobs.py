"""What stands in the children: restricted pods, the rendezvous, mounts, the run file."""

import json

import pytest

from fairlead_api import names
from fairlead_api.runfile import RunFile
from fairlead_operator.finetune.config import config_map
from fairlead_operator.finetune.export import export_job
from fairlead_operator.finetune.prepare import prepare_job
from fairlead_operator.finetune.service import workers_service
from fairlead_operator.finetune.train import train_job

BUILDERS = [prepare_job, train_job, export_job]
GPU = {"limits": {"nvidia.com/gpu": 2, "cpu": "7500m"}}


def pod_of(manifest):
    return manifest["spec"]["template"]["spec"]


def container_of(manifest):
    (container,) = pod_of(manifest)["containers"]
    return container


def environment_of(manifest):
    entries = container_of(manifest)["env"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


def mounts_of(manifest):
    mounts = container_of(manifest)["volumeMounts"]
    volumes = {volume["name"] for volume in pod_of(manifest)["volumes"]}
    assert {mount["name"] for mount in mounts} == volumes
    return {mount["mountPath"]: mount.get("readOnly", False) for mount in mounts}


@pytest.mark.parametrize("build", BUILDERS)
def test_pod_passes_the_restricted_standard(make_job, options, build):
    manifest = build(make_job(), 1, options)
    pod, container = pod_of(manifest), container_of(manifest)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize("build", BUILDERS)
def test_attempt_is_one_job_without_retries_of_its_own(make_job, options, build):
    spec = build(make_job(), 4, options)["spec"]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"FailJob"}


@pytest.mark.parametrize(
    ("build", "stage"),
    [(prepare_job, "prepare"), (train_job, "train"), (export_job, "export")],
)
def test_job_carries_owner_labels_and_the_fence(make_job, options, build, stage):
    manifest = build(make_job(), 4, options)
    meta = manifest["metadata"]
    assert meta["name"] == f"job-{stage}-a4"
    assert meta["ownerReferences"][0]["uid"] == "uid-job"
    assert meta["ownerReferences"][0]["controller"] is True
    assert meta["labels"] == manifest["spec"]["template"]["metadata"]["labels"]
    assert meta["labels"] == {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_FINETUNEJOB: "job",
        names.LABEL_STAGE: stage,
        names.LABEL_ATTEMPT: "4",
    }
    assert environment_of(manifest)[names.ENV_ATTEMPT] == "4"
    assert container_of(manifest)["args"] == [stage]


def test_longest_name_fits_into_the_names_of_its_children(make_job, options):
    job = make_job(numNodes=1024)
    job = job.model_copy(update={"metadata": job.metadata.model_copy(update={"name": "n" * 40})})
    manifest = train_job(job, 999, options)
    host = f"{manifest['metadata']['name']}-1023"
    assert max(len(host), len(pod_of(manifest)["subdomain"])) <= 63


def test_training_pods_meet_over_the_headless_service(make_job, options):
    job = make_job(numNodes=3, numProcPerNode=2)
    manifest, service = train_job(job, 2, options), workers_service(job)
    spec, environment = manifest["spec"], environment_of(manifest)
    assert (spec["completions"], spec["parallelism"]) == (3, 3)
    assert spec["completionMode"] == "Indexed"
    assert environment["PET_NNODES"] == "3"
    assert environment["PET_NPROC_PER_NODE"] == "2"
    assert environment["PET_MASTER_ADDR"] == "job-train-a2-0.job-workers"
    assert environment["PET_MASTER_PORT"] == str(service["spec"]["ports"][0]["port"])
    assert names.COMPLETION_INDEX in environment["PET_NODE_RANK"]["fieldRef"]["fieldPath"]
    assert pod_of(manifest)["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    labels = spec["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_training_on_one_node_meets_itself(make_job, options):
    """Without a name that it had to resolve first, and by the same backend as many nodes."""
    manifest = train_job(make_job(numProcPerNode=2), 1, options)
    environment = environment_of(manifest)
    assert (environment["PET_NNODES"], environment["PET_NPROC_PER_NODE"]) == ("1", "2")
    assert environment["PET_MASTER_ADDR"] == "127.0.0.1"
    assert environment["PET_MASTER_PORT"] == str(names.PORT_RENDEZVOUS)
    assert "subdomain" not in pod_of(manifest)


@pytest.mark.parametrize(
    ("resources", "processes", "threads"),
    [
        pytest.param({}, None, "1", id="nothing-asked-for"),
        pytest.param({"limits": {"cpu": 8}}, 2, "4", id="shared-out"),
        pytest.param({"limits": {"cpu": "500m"}}, 1, "1", id="less-than-one"),
        pytest.param({"requests": {"cpu": "6"}}, 4, "1", id="requests"),
        pytest.param({"requests": {"cpu": 2}, "limits": {"cpu": 4}}, 1, "4", id="limit-wins"),
        pytest.param({"limits": {"cpu": "2e1"}}, 1, "20", id="exponent"),
        pytest.param({"limits": {"cpu": "1k"}}, 1, "1000", id="odd-unit"),
        pytest.param({"limits": {"cpu": ".5"}}, 1, "1", id="half-a-core"),
    ],
)
def test_threads_share_out_the_pods_cpus(make_job, options, resources, processes, threads):
    job = make_job(resourcesPerNode=resources, numProcPerNode=processes)
    assert environment_of(train_job(job, 1, options))["OMP_NUM_THREADS"] == threads


def test_gpus_decide_processes_accelerator_and_tolerations(make_job, options):
    manifest = train_job(make_job(resourcesPerNode=GPU), 1, options)
    environment = environment_of(manifest)
    assert environment["PET_NPROC_PER_NODE"] == "2"
    assert "DS_ACCELERATOR" not in environment
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert pod_of(manifest)["tolerations"] == [toleration]
    assert container_of(manifest)["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_devices_in_requests_are_limits_too(make_job, options):
    job = make_job(resourcesPerNode={"requests": {"nvidia.com/gpu": 1}})
    resources = container_of(train_job(job, 1, options))["resources"]
    assert resources["limits"] == resources["requests"] == {"nvidia.com/gpu": "1"}


@pytest.mark.parametrize("build", BUILDERS)
def test_stage_without_gpus_says_so_to_deepspeed(make_job, options, build):
    assert environment_of(build(make_job(), 1, options))["DS_ACCELERATOR"] == "cpu"


@pytest.mark.parametrize("build", [prepare_job, export_job])
def test_only_training_holds_gpus(make_job, options, build):
    manifest = build(make_job(resourcesPerNode=GPU, numNodes=4), 1, options)
    assert container_of(manifest)["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}}
    assert manifest["spec"]["completions"] == 1


@pytest.mark.parametrize(
    ("asked", "memory"),
    [
        pytest.param({}, "1Gi", id="nothing-asked-for"),
        pytest.param({"limits": {"memory": "64Gi"}}, "64Gi", id="limit"),
        pytest.param({"requests": {"memory": "24G"}}, "24G", id="request"),
        pytest.param(
            {"requests": {"memory": "24Gi"}, "limits": {"memory": "64Gi"}},
            "24Gi",
            id="what-the-scheduler-sets-aside",
        ),
        pytest.param({"limits": {"memory": "512Mi"}}, "1Gi", id="never-less-than-before"),
        pytest.param({"limits": {"memory": 17179869184}}, "17179869184", id="bytes"),
        pytest.param({"limits": {"memory": "1.5e10"}}, "1.5e10", id="exponent"),
        pytest.param({"limits": {"memory": "1E"}}, "1E", id="exabyte"),
        pytest.param({"limits": {"memory": "900000k"}}, "1Gi", id="another-unit"),
    ],
)
def test_export_asks_for_the_memory_of_a_worker_that_it_may_merge(make_job, options, asked, memory):
    devices = asked | {"limits": asked.get("limits", {}) | {"nvidia.com/gpu": 1}}
    resources = container_of(export_job(make_job(resourcesPerNode=devices), 1, options))[
        "resources"
    ]
    assert resources == {"requests": {"cpu": "500m", "memory": memory}}


MIXED = {
    "model": {"uri": "pvc://models/base"},
    "datasets": [
        {"name": "a", "uri": "pvc://data/rows"},
        {"name": "b", "configMapRef": {"name": "rows"}},
    ],
}
SCRATCH = {names.RUN_DIR: True, "/tmp": False, "/dev/shm": False}
OF_TRAINING = {"/mnt/claims/store": False, "/mnt/claims/models": True, **SCRATCH}


@pytest.mark.parametrize(
    ("build", "mounts"),
    [
        (prepare_job, OF_TRAINING | {"/mnt/claims/data": True, "/etc/fairlead/datasets/b": True}),
        (train_job, OF_TRAINING),
        (export_job, OF_TRAINING),
    ],
)
def test_stage_mounts_what_it_reads_and_writes_storage_only(make_job, options, build, mounts):
    assert mounts_of(build(make_job(**MIXED), 1, options)) == mounts


def test_claim_that_is_model_and_storage_is_mounted_once(make_job, options):
    assert mounts_of(train_job(make_job(), 1, options)) == {"/mnt/claims/store": False, **SCRATCH}


def test_shared_memory_is_memory(make_job, options):
    volumes = {
        volume["name"]: volume for volume in pod_of(train_job(make_job(), 1, options))["volumes"]
    }
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory"}


def test_progress_is_reported_with_a_token_for_nothing_else(make_job, replace_options):
    options = replace_options(progress_url="https://op:8443/", progress_ca="PEM")
    manifest = train_job(make_job(), 1, options)
    environment = environment_of(manifest)
    path = names.progress_path("team", "job")
    assert environment[names.ENV_PROGRESS_URL] == f"https://op:8443{path}"
    assert environment[names.ENV_PROGRESS_CA] == names.CA_FILE
    mounts = mounts_of(manifest)
    assert environment[names.ENV_PROGRESS_TOKEN].rsplit("/", 1)[0] in mounts
    (token,) = [v for v in pod_of(manifest)["volumes"] if "projected" in v]
    (source,) = token["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == names.PROGRESS_AUDIENCE
    assert config_map(make_job(), options)["data"][names.CA_KEY] == "PEM"


def test_nothing_reports_where_there_is_no_endpoint(make_job, options):
    manifest = train_job(make_job(), 1, options)
    assert names.ENV_PROGRESS_URL not in environment_of(manifest)
    assert not any("projected" in volume for volume in pod_of(manifest)["volumes"])
    assert list(config_map(make_job(), options)["data"]) == [names.RUN_FILE_KEY]


def test_image_and_its_secrets_come_from_the_administrator(make_job, replace_options):
    options = replace_options(
        trainer_image="r/t:2", image_pull_policy="Always", image_pull_secrets=("one", "two")
    )
    manifest = prepare_job(make_job(), 1, options)
    assert container_of(manifest)["image"] == "r/t:2"
    assert container_of(manifest)["imagePullPolicy"] == "Always"
    assert pod_of(manifest)["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


def test_run_file_says_it_all_and_never_changes(make_job, options):
    job = make_job(suspend=True, hyperparameters={"extraArgs": {"weight_decay": "0.1"}})
    manifest = config_map(job, options)
    run = RunFile.model_validate_json(manifest["data"][names.RUN_FILE_KEY])
    assert manifest["immutable"] is True
    assert (run.name, run.namespace, run.uid) == ("job", "team", "uid-job")
    assert run.spec == job.spec.model_copy(update={"suspend": False})
    assert run.training_arguments == {"weight_decay": "0.1"}
    assert str(run.folder) == "pvc://store/finetunejobs/job/uid-job"


@pytest.mark.parametrize("build", BUILDERS)
def test_children_are_json_and_equal_for_equal_input(make_job, options, build):
    manifest = build(make_job(), 1, options)
    assert json.loads(json.dumps(manifest)) == manifest == build(make_job(), 1, options)
