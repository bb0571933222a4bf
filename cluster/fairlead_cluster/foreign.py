"""A cluster of the user's own, named by FAIRLEAD_CONTEXT; its images come by FAIRLEAD_REGISTRY.

It reads the kubeconfig that kubectl reads (KUBECONFIG, else ~/.kube/config) and writes none.
Fairlead is installed there and removed again; the cluster itself is never brought up or down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import belongings, errors, fitness, images, programs, progress, release, up
from fairlead_cluster.access import Access
from fairlead_cluster.provider import Provider


@dataclass(frozen=True)
class Foreign(Provider):
    """One context of the user's kubeconfig."""

    def reach(self, wanted: up.Wanted) -> Access:
        """Check the context; nothing is changed.

        Raises:
            ClusterError: When the registry is not set, or the context will not do.
        """
        del wanted
        self._registry()
        access = self._access()
        fitness.require(access, "create")
        belongings.require_own_release(access)
        for line in fitness.lacks(access):
            progress.note(f"  ! {line}")
        progress.note(f"context {access.context} answers")
        return access

    def push_images(self) -> dict[str, str]:
        """Push to the registry that the cluster pulls from."""
        workshop = images.open_workshop(self.settings.cache_dir, images.Options())
        return workshop.push(release.RELEASED, self._registry())

    def install(self, access: Access, references: Mapping[str, str], *, wait: bool = True) -> None:
        """Install or upgrade the chart, and mark it as ours."""
        installed = access.release
        belongings.own_namespace(access, installed.namespace)
        values = []
        if fitness.has_gateway_api(access) and not belongings.own_gateway_class(access):
            progress.note(
                f"  ! no GatewayClass {belongings.GATEWAY_CLASS!r}, so no gateway: "
                "models are reached by their Services only"
            )
            values = ["gateway.enabled=false"]
        installed.install(references, values, labels=belongings.MARK, wait=wait)

    def up(self, wanted: up.Wanted) -> Access:
        """Check the context, push the images and install the chart."""
        access = self.reach(wanted)
        references = self.push_images()
        with progress.step(f"install the chart in {access.release.namespace}", 25):
            self.install(access, references)
        return access

    def down(self, *, everything: bool, volumes: bool) -> None:
        """Remove what we installed; say what is kept. Clusters of this machine are left alone."""
        del everything
        access = self._access()
        fitness.require(access, "delete")
        with progress.step(f"remove Fairlead from context {access.context}"):
            kept = belongings.remove(access, volumes=volumes)
        for line in kept:
            progress.say(f"  kept: {line}")

    def load(self, image: str, name: str | None) -> str:
        """Refuse: the user's registry is not ours to name images in."""
        raise errors.ClusterError(
            f"context {self.settings.context!r} pulls from a registry of yours",
            f"push {name or image} there, e.g. by `docker push`",
        )

    def kubeconfig(self) -> Path:
        """Refuse: there is none of ours."""
        raise errors.NoCluster(
            f"context {self.settings.context!r} has no kubeconfig of ours",
            "use yours, as kubectl does",
        )

    def report(self) -> tuple[list[str], bool]:
        """Say whether the cluster answers and whether our release is in it."""
        access = self._access()
        fitness.require(access, "get")
        is_there = access.release.is_there()
        words = "is installed" if is_there else "is not installed (`fairlead-cluster up`)"
        missing = [f"  {line}" for line in fitness.lacks(access)]
        lines = [f"context {access.context} answers", f"  release fairlead {words}", *missing]
        return lines, is_there

    def _access(self) -> Access:
        built = programs.open_cache(self.settings.cache_dir).build(["kubectl", "helm"])
        return Access(built["kubectl"], built["helm"], None, self.settings.context)

    def _registry(self) -> str:
        if self.settings.registry is None:
            raise errors.ClusterError(
                f"FAIRLEAD_CONTEXT is {self.settings.context!r}, but FAIRLEAD_REGISTRY is not set",
                "set it to a registry that you may push to and that the cluster pulls from",
            )
        return self.settings.registry
