"""FineTuneJob: one manifest that trains a model from a dataset.

The models here are the one source of the CRD, its descriptions and the CLI's types; a field
enters with the code that acts on it.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from fairlead_api import names
from fairlead_api.base import (
    EXTRA_ARGS_RULE,
    DurationText,
    ExtraArgs,
    LabelName,
    ObjectName,
    Resource,
    SpecModel,
    Uri,
)
from fairlead_api.finetunestatus import FineTuneJobStatus
from fairlead_api.quantities import ResourceRequirements, amount
from fairlead_api.rules import Part, Rule, exactly_one_of, immutable, immutable_option


class ModelSource(SpecModel):
    """The model to start from."""

    uri: Uri
    """Folder with config.json, tokenizer and safetensors: pvc://CLAIM/PATH."""


class ConfigMapReference(SpecModel):
    """Files held by a ConfigMap of the same namespace."""

    name: ObjectName
    """Name of the ConfigMap; every key that ends in .jsonl is read, in order of name."""


class DataFormat(StrEnum):
    """Shape of a dataset's rows, in TRL's words."""

    AUTO = "Auto"
    CONVERSATIONAL = "Conversational"
    PROMPT_COMPLETION = "PromptCompletion"
    TEXT = "Text"


class Dataset(SpecModel):
    """One source of training rows."""

    name: LabelName
    """Name that messages use; unique within the job."""
    uri: Uri | None = None
    """File or folder of JSONL or parquet: pvc://CLAIM/PATH."""
    inline: Annotated[str, Field(min_length=2, max_length=131072)] | None = None
    """The rows themselves as JSONL, for small examples."""
    config_map_ref: ConfigMapReference | None = None
    """A ConfigMap whose .jsonl keys hold the rows."""
    format: DataFormat = DataFormat.AUTO
    """Shape of the rows; Auto tells it from the first row.

    Conversational:
    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    PromptCompletion:
    {"prompt": "…", "completion": "…"}
    PromptCompletion of messages:
    {"prompt": [{"role": "user", "content": "…"}],
     "completion": [{"role": "assistant", "content": "…"}]}
    Text:
    {"text": "…"}
    """

    rules: ClassVar[tuple[Rule, ...]] = (exactly_one_of("uri", "inline", "configMapRef"),)


class Prepare(SpecModel):
    """How rows become training examples."""

    max_length: Annotated[int, Field(ge=16, le=1_048_576)] = 1024
    """Longest sequence in tokens; with packing, the length of each packed sequence."""
    packing: bool = True
    """Put several rows into one sequence, so that no compute is spent on padding."""


class Trainer(SpecModel):
    """What kind of training."""

    type: Literal["SFT"]
    """SFT: supervised fine-tuning with TRL's SFTTrainer."""


def _of_lora_only(field: str) -> Rule:
    return Rule(
        rule=f"self.type == 'LoRA' || !has(self.{field})",
        message=f"{field} has a meaning only with type: LoRA",
        field_path=f".{field}",
        holds=lambda part: part["type"] == "LoRA" or field not in part,
    )


class Tuning(SpecModel):
    """Which weights are trained."""

    type: Literal["Full", "LoRA"] = "Full"
    """Full trains every weight; LoRA trains small adapters beside frozen weights."""
    r: Annotated[int, Field(ge=1, le=512)] | None = None
    """LoRA: rank of the adapters; 16 where absent."""
    lora_alpha: Annotated[int, Field(ge=1, le=1024)] | None = None
    """LoRA: scale of the adapters; 2 × r where absent."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """LoRA: dropout on the adapters' input; 0 where absent."""
    target_modules: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=32)]
        | None
    ) = None
    """LoRA: names of the layers that get adapters; every linear layer where absent."""

    rules: ClassVar[tuple[Rule, ...]] = tuple(
        map(_of_lora_only, ("r", "loraAlpha", "loraDropout", "targetModules"))
    )


class Hyperparameters(SpecModel):
    """The run's numbers, by the names of transformers' TrainingArguments."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10_000)] = 1
    """Passes over the data; not used where maxSteps is set."""
    max_steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Optimizer steps to make, whatever the number of epochs."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.00002
    """Highest learning rate."""
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    """Course of the learning rate after the warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of all steps over which the learning rate rises from 0."""
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=65536)] = 1
    """Sequences a process takes at once."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=65536)] = 1
    """Batches whose gradients are added up for one step."""
    gradient_checkpointing: bool = False
    """Save memory by computing activations twice."""
    bf16: bool = False
    """Compute in bfloat16."""
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = 42
    """Seed of every random choice."""
    extra_args: ExtraArgs = {}
    """Further TrainingArguments by name; keys must be on the operator's allow-list."""

    rules: ClassVar[tuple[Rule, ...]] = (EXTRA_ARGS_RULE,)


class DeepSpeed(SpecModel):
    """How memory is shared out between processes."""

    zero_stage: Annotated[int, Field(ge=0, le=3)] = 2
    """0 shares nothing; 1 optimizer state; 2 also gradients; 3 also weights."""
    config: Annotated[dict[str, Any], Field(max_length=64)] = {}
    """Raw DeepSpeed configuration, merged over ours; 16 levels at most, no keys of typed fields."""


class Storage(SpecModel):
    """Where prepared data, checkpoints and the artifact go; kept when the job is deleted."""

    claim_name: LabelName
    """PersistentVolumeClaim of the same namespace; ReadWriteMany when numNodes is above 1."""


class Checkpoint(SpecModel):
    """How often training saves itself."""

    save_steps: Annotated[int, Field(ge=1, le=10_000_000)] = 500
    """Steps between two checkpoints: the most that a failure can cost."""
    save_total_limit: Annotated[int, Field(ge=2, le=1000)] = 2
    """Newest checkpoints to keep."""


class Output(SpecModel):
    """What Export publishes."""

    merge_adapter: bool = True
    """LoRA: publish a whole model with the adapter merged in; false publishes the adapter."""


# trainer isn't among them: it is required and has one value, so it cannot change as yet.
# numProcPerNode, which may be absent, has a rule of another form (immutable_option).
IMMUTABLE_FIELDS = (
    "model",
    "datasets",
    "prepare",
    "tuning",
    "hyperparameters",
    "deepspeed",
    "numNodes",
    "resourcesPerNode",
    "startTimeout",
    "maxRestarts",
    "storage",
    "checkpoint",
    "output",
)


def _a_gpu_for_each_process(field: str) -> Rule:
    """Refuse more processes than GPUs; a pod's GPUs may stand in either field."""
    asked = f"self.resourcesPerNode.{field}"

    def holds(part: Part) -> bool:
        gpus = part["resourcesPerNode"][field].get(names.GPU_RESOURCE)
        return gpus is None or part.get("numProcPerNode", 0) <= (amount(gpus) or 0)

    return Rule(
        rule=f"!has(self.numProcPerNode) || !('{names.GPU_RESOURCE}' in {asked})"
        f" || self.numProcPerNode <= int({asked}['{names.GPU_RESOURCE}'])",
        message=f"numProcPerNode must not be above the GPUs in resourcesPerNode.{field}",
        field_path=".numProcPerNode",
        holds=holds,
    )


def _named_once(datasets: list[Dataset]) -> list[Dataset]:
    """As the CRD's list map has it, which needs no rule in CEL."""
    names_of_all = [dataset.name for dataset in datasets]
    if twice := [name for name in names_of_all if names_of_all.count(name) > 1]:
        raise PydanticCustomError(
            "duplicate", "names must be unique, {name} is there twice", {"name": twice[0]}
        )
    return datasets


class FineTuneJobSpec(SpecModel):
    """What to train, on what, and with which means. Immutable but for ``suspend``."""

    model: ModelSource
    """The model to start from."""
    datasets: Annotated[
        list[Dataset], Field(min_length=1, max_length=32), AfterValidator(_named_once)
    ]
    """Sources of training rows, in one format; read one after the other."""
    prepare: Prepare = Prepare()
    """How rows become training examples."""
    trainer: Trainer
    """What kind of training."""
    tuning: Tuning = Tuning()
    """Which weights are trained."""
    hyperparameters: Hyperparameters = Hyperparameters()
    """The run's numbers."""
    deepspeed: DeepSpeed = DeepSpeed()
    """How memory is shared out between processes."""
    num_nodes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Worker pods."""
    num_proc_per_node: Annotated[int, Field(ge=1, le=64)] | None = None
    """Processes in each pod; the number of its GPUs where absent, 1 without GPUs."""
    resources_per_node: ResourceRequirements = ResourceRequirements()
    """Compute resources of each worker pod; Export asks for their memory too."""
    start_timeout: DurationText = "30m"
    """How long workers may wait for room before the job says WorkersPending; it waits on."""
    max_restarts: Annotated[int, Field(ge=0, le=100)] = 3
    """Real failures of a stage that are tried again; disruptions don't count."""
    storage: Storage
    """Where results go."""
    checkpoint: Checkpoint = Checkpoint()
    """How often training saves itself."""
    output: Output = Output()
    """What Export publishes."""
    suspend: bool = False
    """Free the compute now and keep what is saved; false goes on from the last checkpoint."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="self.datasets.map(d, has(d.inline) ? size(d.inline) : 0).sum() <= 524288",
            message="datasets may hold 524288 characters of inline rows in all;"
            " put larger ones into a ConfigMap or on a claim",
            field_path=".datasets",
            holds=lambda part: sum(len(d.get("inline", "")) for d in part["datasets"]) <= 524288,
        ),
        *(_a_gpu_for_each_process(field) for field in ("limits", "requests")),
        *(immutable(field) for field in IMMUTABLE_FIELDS),
        immutable_option("numProcPerNode"),
    )

    @property
    def processes_per_node(self) -> int:
        """Processes in each pod: as given, else one a GPU, else one."""
        return self.num_proc_per_node or self.resources_per_node.amount(names.GPU_RESOURCE) or 1

    @property
    def spans_nodes(self) -> bool:
        """Whether training pods have to find each other, by a headless Service."""
        return self.num_nodes > 1


class FineTuneJob(Resource):
    """Trains a model from a dataset with DeepSpeed, and publishes the result."""

    spec: FineTuneJobSpec
    status: FineTuneJobStatus = FineTuneJobStatus()
