"""ModelService: one manifest that serves a model with vLLM.

The models here are the one source of the CRD, its descriptions and the CLI's types; a field
enters with the code that acts on it.
"""

import itertools
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fairlead_api.artifact import Artifact
from fairlead_api.base import (
    DNS_SUBDOMAIN_PATTERN,
    EXTRA_ARGS_RULE,
    Condition,
    ExtraArgs,
    LabelName,
    ObjectName,
    Reference,
    Resource,
    SpecModel,
    StatusModel,
    Timestamp,
    Uri,
)
from fairlead_api.quantities import ResourceRequirements
from fairlead_api.rules import Part, Rule, exactly_one_of


class ServedModel(SpecModel):
    """Which model is served."""

    uri: Uri | None = None
    """Folder with config.json, tokenizer and safetensors: pvc://CLAIM/PATH."""
    fine_tune_job_ref: Reference | None = None
    """A FineTuneJob of the same namespace; its artifact is pinned, so the job may be deleted."""

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("uri", "fineTuneJobRef"),)
    # Whoever applies one of the two must not have another manager's other one kept beside it.
    atomic: ClassVar[bool] = True


class Engine(SpecModel):
    """Settings of vLLM, by vLLM's names."""

    tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] | None = None
    """Processes that share one model; the number of GPUs where absent, 1 without GPUs."""
    max_model_len: Annotated[int, Field(ge=16, le=10_000_000)] | None = None
    """Longest prompt and answer together, in tokens; the model's own where absent."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the device's memory that vLLM may take."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of weights and activations."""
    quantization: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    """Quantization method, where the model's config doesn't tell it."""
    extra_args: ExtraArgs = {}
    """Further vLLM arguments without the leading dashes; keys must be on the allow-list."""

    rules: ClassVar[tuple[Rule, ...]] = (EXTRA_ARGS_RULE,)


class Limits(SpecModel):
    """What one request, and all waiting requests, may take."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most tokens that one request may ask for; a greater max_tokens is answered 400."""
    max_queued_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Requests in the pod beyond which a new one is answered 429 with Retry-After."""


class GatewayRef(SpecModel):
    """A Gateway (Gateway API) that routes to this service."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: LabelName | None = None
    """Namespace of the Gateway; the service's own where absent."""
    section_name: LabelName | None = None
    """Listener of the Gateway; all that match where absent."""
    hostnames: Annotated[
        list[Annotated[str, Field(max_length=253, pattern=DNS_SUBDOMAIN_PATTERN)]],
        Field(max_length=8),
    ] = []
    """Host names; <name>.<namespace>.<domain of the installation> where empty."""


def _are_few_hosts(part: Part) -> bool:
    hosts = [ref["hostnames"] for ref in part.get("gatewayRefs", ())]
    return sum(map(len, hosts)) + (not all(hosts)) <= 16


def _is_each_listener_once(part: Part) -> bool:
    refs = part.get("gatewayRefs", ())
    return not any(_overlap(one, other) for one, other in itertools.combinations(refs, 2))


def _overlap(one: Part, other: Part) -> bool:
    is_same = one["name"] == other["name"] and one.get("namespace") == other.get("namespace")
    sections = {one.get("sectionName"), other.get("sectionName")}
    return is_same and (len(sections) == 1 or None in sections)


# An HTTPRoute holds no more of either: said where the user can still read it.
_GATEWAY_RULES = (
    Rule(
        rule="!has(self.gatewayRefs) || self.gatewayRefs.map(r, size(r.hostnames)).sum()"
        " + (self.gatewayRefs.exists(r, size(r.hostnames) == 0) ? 1 : 0) <= 16",
        message="gatewayRefs may name 16 host names in all, the installation's own included",
        field_path=".gatewayRefs",
        holds=_are_few_hosts,
    ),
    Rule(
        rule="!has(self.gatewayRefs) || self.gatewayRefs.all(a, self.gatewayRefs.exists_one(b,"
        " a.name == b.name"
        " && (has(a.__namespace__) ? a.__namespace__ : '')"
        " == (has(b.__namespace__) ? b.__namespace__ : '')"
        " && (!has(a.sectionName) || !has(b.sectionName) || a.sectionName == b.sectionName)))",
        message="gatewayRefs may name a Gateway again only for another listener;"
        " give each its own sectionName",
        field_path=".gatewayRefs",
        holds=_is_each_listener_once,
    ),
)


class ModelServiceSpec(SpecModel):
    """Which model to serve, how, and with which means."""

    model: ServedModel
    """Which model is served."""
    served_model_name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Name that requests give as `model`; the resource's name where absent."""
    engine: Engine = Engine()
    """Settings of vLLM."""
    resources: ResourceRequirements = ResourceRequirements()
    """Compute resources of each replica."""
    replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Pods that serve; also set through the scale subresource."""
    gateway_refs: Annotated[list[GatewayRef], Field(max_length=8)] | None = None
    """Gateways that route here; the installation's own where absent, none where empty."""
    limits: Limits = Limits()
    """What one request, and all waiting requests, may take."""

    rules: ClassVar[tuple[Rule, ...]] = _GATEWAY_RULES


class PinnedModel(StatusModel):
    """The model that the newest revision serves, pinned so that nothing outside can change it."""

    uri: str
    artifact: Artifact | None = None
    """Head of the artifact's record, where it came from a FineTuneJob."""
    fine_tune_job: str = ""
    """Name of the FineTuneJob that it came from."""
    fine_tune_job_uid: str = ""


class ModelServiceStatus(StatusModel):
    """What became of the service."""

    atomic: ClassVar[bool] = False  # others may add conditions

    observed_generation: Annotated[int, Field(ge=0)] = 0
    conditions: Annotated[list[Condition], Field(max_length=32)] = []
    replicas: Annotated[int, Field(ge=0)] = 0
    ready_replicas: Annotated[int, Field(ge=0)] = 0
    selector: str = ""
    """Label selector of all pods, as a string: HorizontalPodAutoscalers need it."""
    url: str = ""
    """Where the OpenAI-compatible API answers, without /v1."""
    stable: str = ""
    """Revision that takes the traffic; written before the traffic moves to it."""
    stable_time: Timestamp | None = None
    """When traffic was seen to go to stable only; what served before goes a little later."""
    candidate: str = ""
    """Revision on its way, where it isn't stable yet."""
    model: PinnedModel | None = None
    phase: Annotated[str, Field(max_length=32)] = ""
    """One word for people; programs read conditions."""


class ModelService(Resource):
    """Serves a model with vLLM behind an OpenAI-compatible API."""

    spec: ModelServiceSpec
    status: ModelServiceStatus = ModelServiceStatus()
