"""Engine arguments: what typed fields become, and what extraArgs may hold."""

import pytest

from fairlead_operator.serving import arguments

GPU = {"resources": {"limits": {"nvidia.com/gpu": 2}}}


def render(service, allowed=frozenset()):
    return arguments.engine_arguments(service.spec, allowed)


@pytest.mark.parametrize(
    ("spec", "key", "value"),
    [
        ({}, "dtype", "auto"),
        ({}, "tensor-parallel-size", "1"),
        ({}, "gpu-memory-utilization", "0.3"),
        ({}, "max-model-len", None),
        (GPU, "tensor-parallel-size", "2"),
        (GPU, "gpu-memory-utilization", None),
        (GPU | {"engine": {"tensorParallelSize": 1}}, "tensor-parallel-size", "1"),
        ({"engine": {"gpuMemoryUtilization": 0.5}}, "gpu-memory-utilization", "0.5"),
        ({"engine": {"maxModelLen": 512}}, "max-model-len", "512"),
        ({"engine": {"dtype": "float32"}}, "dtype", "float32"),
        ({"engine": {"quantization": "fp8"}}, "quantization", "fp8"),
        ({"engine": {"extraArgs": {"max-num-seqs": "8"}}}, "max-num-seqs", "8"),
        ({"engine": {"extraArgs": {"enforce-eager": ""}}}, "enforce-eager", ""),
    ],
)
def test_argument_of_the_engine(make_service, spec, key, value):
    assert render(make_service(**spec)).get(key) == value


@pytest.mark.parametrize(
    ("key", "way_out"),
    [
        ("trust-remote-code", "not on the allow-list"),
        ("middleware", "not on the allow-list"),
        ("port", "not on the allow-list"),
        ("chat-template", "not on the allow-list"),
        ("hf-overrides", "not on the allow-list"),
        ("download-dir", "not on the allow-list"),
        ("model", "set spec.model instead"),
        ("dtype", "set spec.engine.dtype instead"),
        ("served-model-name", "set spec.servedModelName instead"),
        ("max-num-queued-reqs", "set spec.limits.maxQueuedRequests instead"),
        ("--max-num-seqs", "write it max-num-seqs"),
        ("max_num_seqs", "write it max-num-seqs"),
    ],
)
def test_refused_key_is_named_with_the_way_out(make_service, key, way_out):
    service = make_service(engine={"extraArgs": {"seed": "1", key: "x"}})
    with pytest.raises(arguments.ArgumentRefused) as refused:
        render(service)
    assert f"spec.engine.extraArgs[{key}]" in str(refused.value)
    assert way_out in str(refused.value)


def test_administrator_extends_the_list(make_service):
    service = make_service(engine={"extraArgs": {"kv-offloading-size": "4"}})
    assert render(service, frozenset({"kv-offloading-size"}))["kv-offloading-size"] == "4"


def test_list_names_no_typed_field():
    assert not arguments.ALLOWED & set(arguments.TYPED)
