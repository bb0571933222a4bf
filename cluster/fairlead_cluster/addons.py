"""Install the add-ons: cluster DNS, dynamic volumes, Gateway API with Envoy Gateway.

All their pods run one image, so a fresh node pulls and unpacks once.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead_cluster import (
    api,
    components,
    gateway,
    images,
    imagetable,
    manifests,
    processes,
    programs,
    registry,
)

IMAGE = "addons"
_PATIENCE_SECONDS = 180.0
DEPLOYMENTS = (
    ("kube-system", "coredns"),
    ("local-path-storage", "local-path-provisioner"),
    (gateway.NAMESPACE, "envoy-gateway"),
)


@dataclass(frozen=True)
class Addons:
    """The add-ons of a cluster that has a node."""

    parts: components.Parts
    server: api.Api
    cache: programs.Cache
    image: str
    """Reference of the add-ons image, as the node knows it."""

    def install(self) -> None:
        """Install what is missing and bring the rest up to date."""
        self.server.apply(self._objects("coredns.yaml"), "install cluster DNS")
        self.server.apply(self._objects("local-path.yaml"), "install dynamic volumes")
        where = self.parts.where
        gateway.of(self.cache, where.kubeconfig, where.etc, self.image).install()
        self.server.apply(self._objects("gateway.yaml"), "make the gateway class")

    def wait(self, supervisor: processes.Supervisor) -> None:
        """Wait until every add-on serves.

        Raises:
            ComponentFailed: When the kubelet dies or an add-on doesn't come up.
        """
        supervisor.wait_ready(
            "kubelet", lambda: all(serving(self.server).values()), _PATIENCE_SECONDS
        )

    def _objects(self, manifest: str) -> list[api.Object]:
        values = {
            "image": self.image,
            "dns": self.parts.addresses.dns,
            "volumes": self.parts.where.volumes,
            "node": self.parts.where.node_name,
        }
        return manifests.objects(manifest, values)


def push_image(found: registry.Registry, cache: programs.Cache) -> str:
    """Build the add-ons image where it is missing, push it, and return its name on the node."""
    workshop = images.open_workshop(cache.folder, images.Options())
    repository, tag = imagetable.IMAGES[IMAGE].repository, workshop.key(IMAGE)
    # Asked before the workshop is: another process may hold it for the minutes of a torch build.
    if not found.has(repository, tag):
        workshop.push([IMAGE], found.url_for_host)
        found.keep()
    return f"{found.url_for_node}/{repository}:{tag}"


def serving(server: api.Api) -> dict[str, bool]:
    """Tell of each add-on whether it serves."""
    return {
        name: is_available(server.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"))
        for namespace, name in DEPLOYMENTS
    }


def is_available(deployment: api.Object | None) -> bool:
    """Tell whether the newest version of a Deployment serves with all its replicas."""
    if deployment is None:
        return False
    status = deployment.get("status", {})
    is_observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
    wanted = deployment["spec"]["replicas"]
    return bool(
        is_observed
        and status.get("availableReplicas") == wanted
        and status.get("updatedReplicas") == wanted
    )
