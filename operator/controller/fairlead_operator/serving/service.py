"""The Services of a ModelService: one for stable under its own name, one a revision."""

from fairlead_api import names
from fairlead_api.modelservice import ModelService
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import children, pod


def stable_service(service: ModelService, revision: str) -> Manifest:
    """Service ``<name>``: always the revision that takes the traffic, gateway or not."""
    metadata = children.metadata(service, service.metadata.name)
    return _service(metadata, children.selector(service, revision))


def revision_service(service: ModelService, revision: str) -> Manifest:
    """Service ``<name>-<revision>``: what a route's backend names."""
    name = names.revision_name(service.metadata.name, revision)
    metadata = children.metadata(service, name, revision)
    return _service(metadata, children.selector(service, revision))


def selected_revision(manifest: Manifest | None) -> str:
    """The revision that Service ``<name>`` selects; empty where it isn't there."""
    selector = (manifest or {}).get("spec", {}).get("selector", {})
    return str(selector.get(names.LABEL_REVISION, ""))


def _service(metadata: Manifest, selector: dict[str, str]) -> Manifest:
    port = {
        "name": pod.PORT_NAME,
        "port": names.PORT_SERVICE,
        "protocol": "TCP",
        "targetPort": pod.PORT_NAME,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": selector, "ports": [port]},
    }
