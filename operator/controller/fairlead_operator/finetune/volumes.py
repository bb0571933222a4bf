"""What a stage's pod sees: claims, datasets, the run file and writable scratch.

Each stage mounts no more than it reads: datasets reach Prepare only.
"""

from dataclasses import dataclass
from typing import Any, Final

from fairlead_api import names, runfile, uris
from fairlead_api.finetunejob import FineTuneJob, FineTuneJobSpec
from fairlead_api.finetunestatus import Stage

_TOKEN_SECONDS: Final = 3600  # the kubelet renews it at 80 %


@dataclass(frozen=True)
class Volume:
    """One volume of a pod and where its container sees it."""

    name: str
    source: dict[str, Any]
    mount_path: str
    read_only: bool = False

    def as_volume(self) -> dict[str, Any]:
        """The entry of the pod's ``volumes``."""
        return {"name": self.name, **self.source}

    def as_mount(self) -> dict[str, Any]:
        """The entry of the container's ``volumeMounts``."""
        mount = {"name": self.name, "mountPath": self.mount_path}
        return mount | ({"readOnly": True} if self.read_only else {})


def claim_names(spec: FineTuneJobSpec) -> list[str]:
    """Every claim that the spec names, storage first."""
    dataset_uris = [dataset.uri for dataset in spec.datasets if dataset.uri]
    sources = [uris.parse(uri).claim for uri in (spec.model.uri, *dataset_uris)]
    return list(dict.fromkeys([spec.storage.claim_name, *sources]))


def config_map_names(spec: FineTuneJobSpec) -> list[str]:
    """Every ConfigMap that the spec's datasets name."""
    references = [dataset.config_map_ref for dataset in spec.datasets]
    return list(dict.fromkeys(reference.name for reference in references if reference))


def of_stage(job: FineTuneJob, stage: Stage) -> list[Volume]:
    """Every volume of a stage's pod, but for the progress token."""
    claims = claim_names(job.spec)
    if stage is not Stage.PREPARE:
        model = uris.parse(job.spec.model.uri).claim
        claims = list(dict.fromkeys([job.spec.storage.claim_name, model]))
    volumes = [
        _claim(index, claim, read_only=claim != job.spec.storage.claim_name)
        for index, claim in enumerate(claims)
    ]
    if stage is Stage.PREPARE:
        volumes += _datasets(job.spec)
    return [*volumes, _run_file(job), *_scratch()]


def progress_token() -> Volume:
    """A token that is good for the progress endpoint and nothing else."""
    token = {
        "audience": names.PROGRESS_AUDIENCE,
        "expirationSeconds": _TOKEN_SECONDS,
        "path": names.PROGRESS_TOKEN_FILE.rsplit("/", 1)[1],
    }
    source = {"projected": {"sources": [{"serviceAccountToken": token}]}}
    return Volume("progress-token", source, names.PROGRESS_TOKEN_DIR, read_only=True)


def _claim(index: int, claim: str, *, read_only: bool) -> Volume:
    source = {"persistentVolumeClaim": {"claimName": claim}}
    return Volume(f"claim-{index}", source, str(uris.claim_mount(claim)), read_only)


def _datasets(spec: FineTuneJobSpec) -> list[Volume]:
    return [
        Volume(
            f"dataset-{index}",
            {"configMap": {"name": dataset.config_map_ref.name}},
            runfile.config_dataset_dir(dataset.name),
            read_only=True,
        )
        for index, dataset in enumerate(spec.datasets)
        if dataset.config_map_ref
    ]


def _run_file(job: FineTuneJob) -> Volume:
    source = {"configMap": {"name": names.run_config_name(job.metadata.name)}}
    return Volume("run", source, names.RUN_DIR, read_only=True)


def _scratch() -> list[Volume]:
    """Writable places: /tmp on disk, /dev/shm in memory (counted against the memory limit)."""
    return [
        Volume("scratch", {"emptyDir": {}}, names.SCRATCH_DIR),
        Volume("shm", {"emptyDir": {"medium": "Memory"}}, "/dev/shm"),
    ]
