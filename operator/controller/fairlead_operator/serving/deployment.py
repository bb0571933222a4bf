"""The Deployment of a revision, and what its status says."""

from dataclasses import dataclass

from fairlead_api import names
from fairlead_api.modelservice import ModelService
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import children
from fairlead_operator.serving.options import Options
from fairlead_operator.serving.revision import Revision


def deployment(service: ModelService, revision: Revision, options: Options) -> Manifest:
    """The Deployment of a revision: its template never changes, so it never rolls."""
    head = revision.template["metadata"]
    labels = head["labels"] | {names.LABEL_REVISION: revision.name}
    template = revision.template | {"metadata": head | {"labels": labels}}
    name = names.revision_name(service.metadata.name, revision.name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": children.metadata(service, name, revision.name),
        "spec": {
            "replicas": service.spec.replicas,
            "minReadySeconds": options.settle_seconds,
            "progressDeadlineSeconds": options.progress_deadline_seconds,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": children.selector(service, revision.name)},
            "template": template,
        },
    }


@dataclass(frozen=True)
class Health:
    """How the pods of one revision do, by its Deployment."""

    seen: bool = False
    """Whether there is a Deployment."""
    replicas: int = 0
    ready: int = 0
    available: int = 0
    """Ready for as long as traffic needs to find them."""
    complete: bool = False
    """All replicas of the spec are available."""
    proven: bool = False
    """They were, once; Kubernetes remembers it, as the template never changes."""
    overdue: bool = False
    """The progress deadline has passed."""


def health(manifest: Manifest | None, replicas: int) -> Health:
    """Read the status of a Deployment that should have ``replicas`` pods."""
    if manifest is None:
        return Health()
    status = manifest.get("status", {})
    progressing: Manifest = next(
        (found for found in status.get("conditions", []) if found["type"] == "Progressing"), {}
    )
    current = (
        status.get("observedGeneration", 0) >= manifest["metadata"].get("generation", 0)
        and manifest["spec"].get("replicas") == replicas
    )
    available = status.get("availableReplicas", 0)
    return Health(
        seen=True,
        replicas=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        available=available,
        complete=current and available >= replicas,
        proven=progressing.get("reason") == "NewReplicaSetAvailable",
        overdue=progressing.get("reason") == "ProgressDeadlineExceeded",
    )
