"""What all children of a ModelService share: names, labels and the owner reference."""

from fairlead_api import names
from fairlead_api.modelservice import ModelService
from fairlead_operator.plan import Manifest


def labels(service: ModelService, revision: str = "") -> dict[str, str]:
    """Labels of a child; of a revision's child where one is given."""
    found = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MODELSERVICE: service.metadata.name,
    }
    return found | ({names.LABEL_REVISION: revision} if revision else {})


def selector(service: ModelService, revision: str) -> dict[str, str]:
    """Labels that pick the pods of one revision."""
    return {names.LABEL_MODELSERVICE: service.metadata.name, names.LABEL_REVISION: revision}


def metadata(service: ModelService, name: str, revision: str = "") -> Manifest:
    """Metadata of a child: owned, so that deleting the ModelService deletes it."""
    return {
        "name": name,
        "namespace": service.metadata.namespace,
        "labels": labels(service, revision),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODELSERVICE,
                "name": service.metadata.name,
                "uid": service.metadata.uid,
                "controller": True,
            }
        ],
    }


def revision_of(manifest: Manifest) -> str:
    """The revision that a child or pod belongs to; empty where it belongs to none."""
    revision: str = manifest["metadata"].get("labels", {}).get(names.LABEL_REVISION, "")
    return revision


def by_name(manifests: tuple[Manifest, ...], name: str) -> Manifest | None:
    """The object of that name among those seen."""
    return next((found for found in manifests if found["metadata"]["name"] == name), None)
