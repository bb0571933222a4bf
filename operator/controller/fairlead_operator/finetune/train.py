"""The Job that trains: an Indexed Job with a pod a node, met by torchrun over a headless Service.

A single node needs none and meets itself on its loopback. torchrun reads its settings from PET_*
variables; ``accelerate launch`` would ignore them.
"""

from typing import Any, Final

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import Stage
from fairlead_operator.finetune import resources, volumes
from fairlead_operator.finetune.job import StagePod, from_pod, stage_job, variable
from fairlead_operator.finetune.options import Options
from fairlead_operator.plan import Manifest

_GRACE_SECONDS: Final = 120  # to agree on a last checkpoint; torchrun itself kills after 30 s
_RENDEZVOUS_SECONDS: Final = 7 * 24 * 3600
"""How long a worker waits for the others. Waiting for room in the cluster is no failure, and a
peer that dies fails the whole Job, so nobody waits for it."""


def train_job(job: FineTuneJob, attempt: int, options: Options) -> Manifest:
    """Build the Job of a Train attempt."""
    asked, workers = job.spec.resources_per_node, names.workers_service_name(job.metadata.name)
    pod = StagePod(
        stage=Stage.TRAIN,
        resources=resources.as_container(asked),
        num_pods=job.spec.num_nodes,
        environment=(*_environment(job, attempt), *_progress(job, options)),
        more_volumes=(volumes.progress_token(),) if options.progress_url else (),
        tolerations=tuple(_toleration(name) for name in resources.extended(asked)),
        grace_seconds=_GRACE_SECONDS,
        spec={"subdomain": workers} if job.spec.spans_nodes else {},
    )
    return stage_job(job, attempt, pod, options)


def _environment(job: FineTuneJob, attempt: int) -> list[dict[str, Any]]:
    """What torchrun and the libraries below it read."""
    spec, num_processes = job.spec, job.spec.processes_per_node
    return [
        variable("PET_NNODES", spec.num_nodes),
        variable("PET_NPROC_PER_NODE", num_processes),
        from_pod("PET_NODE_RANK", f"metadata.labels['{names.COMPLETION_INDEX}']"),
        *_rendezvous(job, attempt),
        variable("OMP_NUM_THREADS", spec.resources_per_node.threads(num_processes)),
    ]


def _rendezvous(job: FineTuneJob, attempt: int) -> list[dict[str, str]]:
    """Where the nodes meet: at the first one's host name, which the headless Service gives it.

    Told to one node too: without a port torchrun would choose another backend for it.
    """
    first = f"{names.stage_job_name(job.metadata.name, Stage.TRAIN, attempt)}-0"
    by_name = f"{first}.{names.workers_service_name(job.metadata.name)}"
    return [
        variable("PET_MASTER_ADDR", by_name if job.spec.spans_nodes else "127.0.0.1"),
        variable("PET_MASTER_PORT", names.PORT_RENDEZVOUS),
        variable("PET_RDZV_CONF", f"timeout={_RENDEZVOUS_SECONDS}"),
    ]


def _progress(job: FineTuneJob, options: Options) -> list[dict[str, str]]:
    """What transformers' KubeflowCallback reads."""
    if not options.progress_url:
        return []
    path = names.progress_path(job.metadata.namespace, job.metadata.name)
    return [
        variable(names.ENV_PROGRESS_URL, options.progress_url.rstrip("/") + path),
        variable(names.ENV_PROGRESS_CA, names.CA_FILE),
        variable(names.ENV_PROGRESS_TOKEN, names.PROGRESS_TOKEN_FILE),
    ]


def _toleration(resource: str) -> dict[str, str]:
    """Nodes with devices are commonly tainted by the device's resource name."""
    return {"key": resource, "operator": "Exists", "effect": "NoSchedule"}
