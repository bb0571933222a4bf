"""The pod template: restricted, told everything, and fit for its hardware."""

import dataclasses
import json

import pytest

from fairlead_api.modelservice import PinnedModel
from fairlead_api.servefile import ServeFile
from fairlead_operator.serving import pod

MODEL = PinnedModel(uri="pvc://models/base")
GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}


@pytest.fixture
def render(make_service, options):
    def render(annotations=None, changes=None, **spec):
        service = make_service(annotations=annotations, **spec)
        return pod.template(service, MODEL, dataclasses.replace(options, **(changes or {})))

    return render


def container(template):
    (found,) = template["spec"]["containers"]
    return found


def environment(template):
    return {each["name"]: each["value"] for each in container(template)["env"]}


def test_pod_passes_the_restricted_standard(render):
    template = render()
    spec, server = template["spec"], container(template)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in spec["volumes"])


def test_server_is_told_everything_by_its_serve_file(render):
    template = render(
        servedModelName="gpt", limits={"maxTokens": 9}, engine={"extraArgs": {"seed": "1"}}
    )
    told = ServeFile.model_validate(json.loads(environment(template)["FAIRLEAD_SERVE_FILE"]))
    assert told.model_uri == "pvc://models/base"
    assert (told.served_model_name, told.aliases) == ("gpt", ("dates",))
    assert told.engine_args["seed"] == "1"
    assert told.limits.max_tokens == 9
    assert told.drain_seconds == 60


def test_model_is_mounted_read_only_where_the_server_looks(render):
    template = render()
    (mount,) = [m for m in container(template)["volumeMounts"] if m["name"] == "model"]
    assert mount == {"name": "model", "mountPath": "/mnt/claims/models", "readOnly": True}
    assert template["spec"]["volumes"][0]["persistentVolumeClaim"] == {
        "claimName": "models",
        "readOnly": True,
    }


def test_what_the_engine_writes_is_scratch(render):
    template = render()
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounts = {m["mountPath"]: m["name"] for m in container(template)["volumeMounts"]}
    assert "emptyDir" in volumes[mounts["/tmp"]]
    assert environment(template)["HOME"].startswith("/tmp/")
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}


@pytest.mark.parametrize(
    ("spec", "cache", "tolerates"),
    [({}, "1", False), (GPU, None, True)],
    ids=["CPU", "GPU"],
)
def test_hardware_follows_from_the_resources(render, spec, cache, tolerates):
    template = render(**spec)
    assert environment(template).get("VLLM_CPU_KVCACHE_SPACE") == cache
    bound = environment(template).get("VLLM_CPU_OMP_THREADS_BIND")
    assert bound == ("nobind" if cache else None)
    apart = environment(template).get("VLLM_ENABLE_V1_MULTIPROCESSING")
    assert apart == ("0" if cache else None)
    assert ("tolerations" in template["spec"]) == tolerates
    assert container(template).get("resources") == spec.get("resources")


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        pytest.param({"requests": {"cpu": "250m"}}, "1", id="less-than-a-core"),
        pytest.param({"requests": {"cpu": 2}, "limits": {"cpu": "4500m"}}, "4", id="limit"),
        pytest.param({"requests": {"cpu": 8}}, "8", id="request"),
        pytest.param({"requests": {"memory": "1Gi"}}, None, id="whatever-the-node-has"),
        pytest.param(GPU["resources"] | {"requests": {"cpu": 8}}, None, id="GPU"),
    ],
)
def test_engine_has_a_thread_for_each_core_that_is_its_own(render, resources, threads):
    assert environment(render(resources=resources)).get("OMP_NUM_THREADS") == threads


def test_running_requests_get_their_time_to_end(render):
    template = render(changes={"drain_seconds": 300})
    # The hook may take all of it, then the engine may (its shutdown timeout), within one grace.
    told = ServeFile.model_validate_json(environment(template)["FAIRLEAD_SERVE_FILE"])
    hook = engine = told.drain_seconds
    assert hook == 300
    assert template["spec"]["terminationGracePeriodSeconds"] > hook + engine
    command = container(template)["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["python3", "-m", "fairlead_server", "drain"]


def test_probes_ask_the_server_for_different_things(render):
    server = container(render(changes={"startup_timeout_seconds": 600}))
    paths = {
        kind: server[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")
    }
    assert paths == {
        "startup": {"path": "/fairlead/startup", "port": "http"},
        "readiness": {"path": "/fairlead/ready", "port": "http"},
        "liveness": {"path": "/fairlead/live", "port": "http"},
    }
    startup = server["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 600


@pytest.mark.parametrize(
    ("changes", "find"),
    [
        ({"image": "other"}, lambda t: container(t)["image"] == "other"),
        (
            {"image_pull_policy": "Always"},
            lambda t: container(t)["imagePullPolicy"] == "Always",
        ),
        (
            {"image_pull_secrets": ("key",)},
            lambda t: t["spec"].get("imagePullSecrets") == [{"name": "key"}],
        ),
        ({"cpu_kv_cache_gib": 4}, lambda t: environment(t)["VLLM_CPU_KVCACHE_SPACE"] == "4"),
        (
            {"shared_memory": "8Gi"},
            lambda t: t["spec"]["volumes"][2]["emptyDir"]["sizeLimit"] == "8Gi",
        ),
    ],
    ids=["image", "pull policy", "pull secrets", "cpu cache", "shared memory"],
)
def test_administrators_option_takes_effect(render, changes, find):
    assert find(render(changes=changes))
    assert not find(render())


def test_restart_annotation_reaches_the_template(render):
    annotation = {"fairlead.dev/restarted-at": "now"}
    assert render(annotation)["metadata"]["annotations"] == annotation
    assert "annotations" not in render()["metadata"]
