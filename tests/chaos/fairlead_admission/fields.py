"""The specification of both kinds, written by hand: what the judge judges by.

Written from the field texts that ``kubectl explain`` prints, from design notes and from what
Kubernetes says of pods; every number stands here a second time on purpose. Whoever changes a bound
in the models has to change it here as well, knowing it: that is what makes the verdict of the API
server worth comparing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fairlead_admission import forms
from fairlead_admission.judge import REQUIRED, UNSET, Many, Part, Rule, Table
from fairlead_admission.values import Amount, Anything, Field, Flag, Real, Text, Whole, Word

JOB: Final = "FineTuneJob"
SERVICE: Final = "ModelService"
GPU: Final = "nvidia.com/gpu"

_URI: Final = Text(9, 512, forms.CLAIM_URI)
_LABEL: Final = Text(1, 63, forms.DNS_LABEL)
_NAME: Final = Text(1, 253, forms.DNS_SUBDOMAIN)
_REFERENCE: Final = Part({"name": (_NAME, REQUIRED)})


def _arguments(*some: str) -> Table:
    return Table(Text(0, 256), 64, Text(0, 64), some)


def _exactly_one(*keys: str) -> Rule:
    def rule(part: Mapping[str, Any], where: str) -> Iterator[str]:
        if sum(key in part for key in keys) != 1:
            yield where

    return rule


def _lora_only(part: Mapping[str, Any], where: str) -> Iterator[str]:
    if part["type"] != "LoRA":
        for key in ("r", "loraAlpha", "loraDropout", "targetModules"):
            if key in part:
                yield f"{where}.{key}"


def _named_resources(part: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in ("requests", "limits"):
        for name, value in part[key].items():
            is_counted = "/" not in name or forms.is_count(value)
            if not is_counted or not forms.is_container_resource(name):
                yield f"{where}.{key}"


def _requests_below_limits(part: Mapping[str, Any], where: str) -> Iterator[str]:
    for name in part["requests"].keys() & part["limits"].keys():
        asked, most = part["requests"][name], part["limits"][name]
        asked_amount, most_amount = forms.amount(asked), forms.amount(most)
        assert asked_amount is not None and most_amount is not None
        is_other_device = "/" in name and str(asked) != str(most)
        if asked_amount > most_amount or is_other_device:
            yield f"{where}.requests"


def resources(*devices: str) -> Part:
    """Compute resources of one container."""
    names = ("cpu", "memory", "ephemeral-storage", *devices)
    table = Table(Amount(), 16, keys=names)
    return Part(
        {"requests": (table, {}), "limits": (table, {})},
        (_named_resources, _requests_below_limits),
    )


def _rows_fit(part: Mapping[str, Any], where: str) -> Iterator[str]:
    if sum(len(dataset.get("inline", "")) for dataset in part["datasets"]) > 512 * 1024:
        yield f"{where}.datasets"


def _gpus_for_processes(part: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in ("limits", "requests"):
        gpus = part["resourcesPerNode"][key].get(GPU)
        if gpus is not None and part.get("numProcPerNode", 0) > int(gpus):
            yield f"{where}.numProcPerNode"


def _few_hosts(part: Mapping[str, Any], where: str) -> Iterator[str]:
    hosts = [ref["hostnames"] for ref in part.get("gatewayRefs", [])]
    if sum(map(len, hosts)) + (not all(hosts)) > 16:
        yield f"{where}.gatewayRefs"


def _listeners_once(part: Mapping[str, Any], where: str) -> Iterator[str]:
    refs = part.get("gatewayRefs", [])
    for place, one in enumerate(refs):
        for other in refs[:place]:
            is_same = (one["name"], one.get("namespace")) == (other["name"], other.get("namespace"))
            sections = {ref.get("sectionName") for ref in (one, other)}
            if is_same and (None in sections or len(sections) == 1):
                yield f"{where}.gatewayRefs"
                return


_DATASET: Final = Part(
    {
        "name": (_LABEL, REQUIRED),
        "uri": (_URI, UNSET),
        "inline": (Text(2, 128 * 1024), UNSET),
        "configMapRef": (_REFERENCE, UNSET),
        "format": (Word(("Auto", "Conversational", "PromptCompletion", "Text")), "Auto"),
    },
    (_exactly_one("uri", "inline", "configMapRef"),),
)
_TUNING: Final = Part(
    {
        "type": (Word(("Full", "LoRA")), "Full"),
        "r": (Whole(1, 512), UNSET),
        "loraAlpha": (Whole(1, 1024), UNSET),
        "loraDropout": (Real(0, 1, is_open_above=True), UNSET),
        "targetModules": (Many(Text(1, 64), 0, 32), UNSET),
    },
    (_lora_only,),
)
_HYPERPARAMETERS: Final = Part(
    {
        "numTrainEpochs": (Real(0, 10_000, is_open_below=True), 1),
        "maxSteps": (Whole(1, 100_000_000), UNSET),
        "learningRate": (Real(0, 10, is_open_below=True), 0.00002),
        "lrSchedulerType": (
            Word(("linear", "cosine", "constant", "constant_with_warmup")),
            "linear",
        ),
        "warmupRatio": (Real(0, 1, is_open_above=True), 0),
        "perDeviceTrainBatchSize": (Whole(1, 65_536), 1),
        "gradientAccumulationSteps": (Whole(1, 65_536), 1),
        "gradientCheckpointing": (Flag(), False),
        "bf16": (Flag(), False),
        "seed": (Whole(0, 2**31 - 1), 42),
        "extraArgs": (_arguments("weight_decay", "optim", "logging_steps"), {}),
    }
)
_JOB: Final = Part(
    {
        "model": (Part({"uri": (_URI, REQUIRED)}), REQUIRED),
        "datasets": (Many(_DATASET, 1, 32, key="name"), REQUIRED),
        "prepare": (
            Part({"maxLength": (Whole(16, 2**20), 1024), "packing": (Flag(), True)}),
            {},
        ),
        "trainer": (Part({"type": (Word(("SFT",)), REQUIRED)}), REQUIRED),
        "tuning": (_TUNING, {}),
        "hyperparameters": (_HYPERPARAMETERS, {}),
        "deepspeed": (
            Part({"zeroStage": (Whole(0, 3), 2), "config": (Table(Anything(), 64), {})}),
            {},
        ),
        "numNodes": (Whole(1, 1024), 1),
        "numProcPerNode": (Whole(1, 64), UNSET),
        "resourcesPerNode": (resources(GPU), {}),
        "startTimeout": (Text(2, 18, forms.DURATION), "30m"),
        "maxRestarts": (Whole(0, 100), 3),
        "storage": (Part({"claimName": (_LABEL, REQUIRED)}), REQUIRED),
        "checkpoint": (
            Part({"saveSteps": (Whole(1, 10_000_000), 500), "saveTotalLimit": (Whole(2, 1000), 2)}),
            {},
        ),
        "output": (Part({"mergeAdapter": (Flag(), True)}), {}),
        "suspend": (Flag(), False),
    },
    (_rows_fit, _gpus_for_processes),
)
_GATEWAY: Final = Part(
    {
        "name": (_NAME, REQUIRED),
        "namespace": (_LABEL, UNSET),
        "sectionName": (_LABEL, UNSET),
        "hostnames": (Many(Text(1, 253, forms.DNS_SUBDOMAIN), 0, 8), []),
    }
)
_ENGINE: Final = Part(
    {
        "tensorParallelSize": (Whole(1, 64), UNSET),
        "maxModelLen": (Whole(16, 10_000_000), UNSET),
        "gpuMemoryUtilization": (Real(0, 1, is_open_below=True), UNSET),
        "dtype": (Word(("auto", "bfloat16", "float16", "float32")), "auto"),
        "quantization": (Text(1, 32), UNSET),
        "extraArgs": (_arguments("max-num-seqs", "seed"), {}),
    }
)
_SERVICE: Final = Part(
    {
        "model": (
            Part(
                {"uri": (_URI, UNSET), "fineTuneJobRef": (_REFERENCE, UNSET)},
                (_exactly_one("uri", "fineTuneJobRef"),),
            ),
            REQUIRED,
        ),
        "servedModelName": (Text(1, 128), UNSET),
        "engine": (_ENGINE, {}),
        "resources": (resources(GPU), {}),
        "replicas": (Whole(0, 10_000), 1),
        "gatewayRefs": (Many(_GATEWAY, 0, 8), UNSET),
        "limits": (
            Part(
                {
                    "maxTokens": (Whole(1, 1_000_000), UNSET),
                    "maxQueuedRequests": (Whole(1, 1_000_000), 256),
                }
            ),
            {},
        ),
    },
    (_few_hosts, _listeners_once),
)
SPECS: Final[Mapping[str, Part]] = {JOB: _JOB, SERVICE: _SERVICE}
CHANGEABLE: Final = frozenset({"suspend"})
"""Members of a FineTuneJob's spec that may change once it exists; a ModelService's all may."""


def _metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    known = {"name", "namespace", "generateName", "labels", "annotations"}
    yield from (f"metadata.{key}" for key in metadata.keys() - known)
    # A name that is to be made up gets five characters more.
    name = metadata.get("name") or f"{metadata.get('generateName', '')}00000"
    if not isinstance(name, str) or not forms.is_resource_name(name):
        yield "metadata.name"
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if not _is_text_by_name(labels) or not all(
        forms.is_qualified_name(key) and forms.is_label_value(value)
        for key, value in labels.items()
    ):
        yield "metadata.labels"
    if (
        not _is_text_by_name(annotations)
        or not all(forms.is_qualified_name(key.lower()) for key in annotations)
        or sum(len(key) + len(value) for key, value in annotations.items()) > 256 * 1024
    ):
        yield "metadata.annotations"


def _is_text_by_name(entries: Any) -> bool:
    return isinstance(entries, dict) and all(isinstance(value, str) for value in entries.values())


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """Paths of all that is wrong with a manifest that is to be created; none: it is valid."""
    known = {"apiVersion", "kind", "metadata", "spec"}
    found = [*(manifest.keys() - known), *_metadata(manifest["metadata"])]
    if manifest.get("spec") is None:
        return [*found, "spec"]
    return [*found, *SPECS[manifest["kind"]].faults(manifest["spec"], "spec")]


def faults_of_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Paths of all that is wrong with a manifest that is to replace another of its name."""
    if found := faults(new):
        return found
    part = SPECS[new["kind"]]
    before, after = part.filled(old["spec"]), part.filled(new["spec"])
    if new["kind"] == SERVICE:
        return []
    fixed = part.members.keys() - CHANGEABLE
    return sorted(f"spec.{key}" for key in fixed if not _same(before.get(key), after.get(key)))


def _same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: true is not 1, though 1.0 is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def field_at(kind: str, way: tuple[int | str, ...]) -> Field | None:
    """The specification of a place of the spec, given as keys and indices; None where none is."""
    found: Field | None = SPECS[kind]
    for step in way:
        if isinstance(found, Part):
            found = found.members.get(str(step), (None,))[0]
        elif isinstance(found, Many | Table):
            found = found.of
        else:
            return None
    return found
