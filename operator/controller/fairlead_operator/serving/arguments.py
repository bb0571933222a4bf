"""Engine arguments: typed fields become vLLM's, extraArgs pass an allow-list.

A key stands on the list only if no value of it loads code, opens a port, reads or writes a file
elsewhere, or repeats a typed field. Keys are vLLM's own, without the leading dashes.
"""

from typing import Final

from fairlead_api.modelservice import ModelServiceSpec
from fairlead_api.names import GPU_RESOURCE

ALLOWED: Final = frozenset(
    {
        # memory and cache
        "block-size",
        "cpu-offload-gb",
        "enable-prefix-caching",
        "kv-cache-dtype",
        "kv-cache-memory-bytes",
        "no-enable-prefix-caching",
        # batching and scheduling
        "async-scheduling",
        "enable-chunked-prefill",
        "long-prefill-token-threshold",
        "max-num-batched-tokens",
        "max-num-seqs",
        "no-async-scheduling",
        "no-enable-chunked-prefill",
        "scheduling-policy",
        "stream-interval",
        # execution
        "cudagraph-capture-sizes",
        "disable-cascade-attn",
        "disable-custom-all-reduce",
        "enable-expert-parallel",
        "enforce-eager",
        "pipeline-parallel-size",
        "seed",
        # what answers look like
        "chat-template-content-format",
        "enable-auto-tool-choice",
        "enable-prompt-tokens-details",
        "logprobs-mode",
        "max-logprobs",
        "override-generation-config",
        "reasoning-parser",
        "return-tokens-as-token-ids",
        "tool-call-parser",
        # logging
        "enable-log-requests",
        "max-log-len",
        "uvicorn-log-level",
    }
)
TYPED: Final = {
    "dtype": "spec.engine.dtype",
    "gpu-memory-utilization": "spec.engine.gpuMemoryUtilization",
    "max-model-len": "spec.engine.maxModelLen",
    "max-num-queued-reqs": "spec.limits.maxQueuedRequests",
    "model": "spec.model",
    "quantization": "spec.engine.quantization",
    "served-model-name": "spec.servedModelName",
    "tensor-parallel-size": "spec.engine.tensorParallelSize",
}
_CPU_MEMORY_UTILIZATION: Final = "0.3"  # vLLM would take 92 % of the machine's memory


class ArgumentRefused(ValueError):
    """A key of engine.extraArgs that may not be set; the message names it and the way out."""


def engine_arguments(spec: ModelServiceSpec, allowed: frozenset[str]) -> dict[str, str]:
    """All of vLLM's arguments by name; raises ArgumentRefused.

    ``allowed`` are the administrator's own additions to the list.
    """
    for key in sorted(spec.engine.extra_args):
        if key not in ALLOWED | allowed:
            raise ArgumentRefused(_refusal(key))
    return _typed_arguments(spec) | spec.engine.extra_args


def _typed_arguments(spec: ModelServiceSpec) -> dict[str, str]:
    engine = spec.engine
    gpus = spec.resources.amount(GPU_RESOURCE)
    found = {
        "dtype": engine.dtype,
        "tensor-parallel-size": str(engine.tensor_parallel_size or gpus or 1),
    }
    if engine.max_model_len is not None:
        found["max-model-len"] = str(engine.max_model_len)
    if engine.quantization is not None:
        found["quantization"] = engine.quantization
    if engine.gpu_memory_utilization is not None:
        found["gpu-memory-utilization"] = str(engine.gpu_memory_utilization)
    elif gpus == 0:
        found["gpu-memory-utilization"] = _CPU_MEMORY_UTILIZATION
    return found


def _refusal(key: str) -> str:
    where = f"spec.engine.extraArgs[{key}]"
    if key in TYPED:
        return f"{where}: set {TYPED[key]} instead"
    if key.lstrip("-").replace("_", "-") in ALLOWED:
        return f"{where}: write it {key.lstrip('-').replace('_', '-')}"
    return (
        f"{where} is not on the allow-list of engine arguments; remove it, or have the"
        " administrator add it to the installation's values"
    )
