"""What stops a spec from running that admission by the API server could not see.

A refusal is a condition and not a failure: it goes away when the claim or the ConfigMap
appears, or when the administrator allows the argument.
"""

from dataclasses import dataclass

from fairlead_api import deepspeed, names, uris
from fairlead_api.conditions import Reason
from fairlead_api.finetunejob import FineTuneJob, FineTuneJobSpec
from fairlead_operator.finetune import arguments, config, volumes
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest, Observed

_SHARED_MODES = frozenset({"ReadWriteMany"})
_READABLE_MODES = _SHARED_MODES | {"ReadOnlyMany"}


@dataclass(frozen=True)
class Refusal:
    """Why a job can't run as things stand."""

    reason: Reason
    message: str


def refusal(job: FineTuneJob, observed: Observed, options: Options) -> Refusal | None:
    """The first reason why the job can't run; None where it can."""
    return (
        _arguments(job.spec, options)
        or _run_file(job, observed)
        or _claims(job.spec, observed)
        or _config_maps(job.spec, observed)
    )


def _arguments(spec: FineTuneJobSpec, options: Options) -> Refusal | None:
    keys = arguments.refused(spec.hyperparameters.extra_args, options.extra_args_allowed)
    if keys:
        text = (
            f"spec.hyperparameters.extraArgs: {', '.join(keys)}: not on the operator's allow-list;"
            " create the job without, or ask the administrator"
        )
        return Refusal(Reason.ARGUMENT_REFUSED, text)
    if deepspeed.is_too_deep(spec.deepspeed.config):
        text = f"spec.deepspeed.config: {deepspeed.TOO_DEEP}; create the job without"
        return Refusal(Reason.ARGUMENT_REFUSED, text)
    paths = deepspeed.refused(spec.deepspeed.config)
    if paths:
        why = "; ".join(f"{path}: {deepspeed.OWNED[path]}" for path in paths)
        text = f"spec.deepspeed.config: {why}; create the job without"
        return Refusal(Reason.ARGUMENT_REFUSED, text)
    return None


def _run_file(job: FineTuneJob, observed: Observed) -> Refusal | None:
    name = names.run_config_name(job.metadata.name)
    if any(manifest["metadata"]["name"] == name for manifest in observed.config_maps):
        return None  # it was written already
    size = len(config.run_file(job).encode())
    if size <= config.MAX_BYTES:
        return None
    text = (
        f"spec.datasets: with its inline rows the job takes {size} bytes, more than the"
        f" {config.MAX_BYTES} that a ConfigMap can hold; put the rows on a claim"
    )
    return Refusal(Reason.RUN_FILE_TOO_LARGE, text)


def _claims(spec: FineTuneJobSpec, observed: Observed) -> Refusal | None:
    storage = spec.storage.claim_name
    for name in volumes.claim_names(spec):
        claim = observed.claims.get(name)
        if claim is None:
            text = f"PersistentVolumeClaim {name} doesn't exist in this namespace; create it"
            return Refusal(Reason.CLAIM_NOT_FOUND, text)
        wanted = _SHARED_MODES if name == storage else _READABLE_MODES
        if spec.num_nodes > 1 and name in _training_claims(spec) and not _modes(claim) & wanted:
            text = (
                f"PersistentVolumeClaim {name} is {', '.join(sorted(_modes(claim)))}, but"
                f" {spec.num_nodes} nodes use it: it must be {' or '.join(sorted(wanted))}"
            )
            return Refusal(Reason.STORAGE_NOT_SHARED, text)
    return None


def _training_claims(spec: FineTuneJobSpec) -> set[str]:
    """Claims that every training pod mounts; datasets' reach Prepare's one pod only."""
    return {spec.storage.claim_name, uris.parse(spec.model.uri).claim}


def _modes(claim: Manifest) -> set[str]:
    return set(claim.get("spec", {}).get("accessModes") or [])


def _config_maps(spec: FineTuneJobSpec, observed: Observed) -> Refusal | None:
    for name in volumes.config_map_names(spec):
        if not observed.foreign_config_maps.get(name, False):
            text = f"ConfigMap {name} of a dataset doesn't exist in this namespace; create it"
            return Refusal(Reason.CONFIG_MAP_NOT_FOUND, text)
    return None
