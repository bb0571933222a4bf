"""A cluster of kind, where a docker engine answers. UNTESTED: no machine of ours has docker.

The same add-ons as on the embedded cluster, but for DNS, which kind brings itself.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from fairlead_cluster import (
    commands,
    down,
    errors,
    gateway,
    imageengine,
    images,
    manifests,
    release,
    state,
    up,
)
from fairlead_cluster.access import Access
from fairlead_cluster.provider import Provider

_WAY_OUT = "see `docker ps`, or set FAIRLEAD_PROVIDER=embedded"


def is_usable() -> bool:
    """Tell whether kind is installed and docker answers."""
    return shutil.which("kind") is not None and imageengine.answers("docker")


@dataclass(frozen=True)
class Kind(Provider):
    """The kind cluster of the settings' name."""

    @property
    def folder(self) -> Path:
        """Kubeconfig and chart; no state.json, so no embedded cluster is seen in it."""
        return self.settings.state_dir / f".kind-{self.settings.name}"

    def reach(self, wanted: up.Wanted) -> Access:
        """Make the cluster and its add-ons; kind always has a node."""
        del wanted
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._exists():
            self._kind("create", "cluster", "--wait=180s")
        workshop = self._workshop()
        built = workshop.cache.build(["kubectl", "helm"])
        access = Access(built["kubectl"], built["helm"], self._kubeconfig, None)
        workshop.build(["addons"])
        image = self.load(workshop.reference("addons"), None)
        values = {
            "image": image,
            "volumes": "/var/local-path",
            "node": f"{self.settings.name}-control-plane",
        }
        # kind's own class takes no ReadWriteMany claim.
        self._apply(access, "local-path.yaml", values)
        gateway.of(workshop.cache, self._kubeconfig, self.folder, image).install()
        self._apply(access, "gateway.yaml", values)
        return access

    def push_images(self) -> dict[str, str]:
        """Build with docker and give the images to the node, which needs no registry."""
        workshop = self._workshop()
        names = workshop.build(release.RELEASED)
        return {name: self.load(workshop.reference(name), None) for name in names}

    def load(self, image: str, name: str | None) -> str:
        """Give an image of docker to the cluster's node."""
        if name is not None:
            commands.run(
                ["docker", "tag", image, name], what=f"name {image} {name}", way_out=_WAY_OUT
            )
        self._kind("load", "docker-image", name or image)
        return name or image

    def down(self, *, everything: bool, volumes: bool) -> None:
        """Remove the cluster, in which its volumes lie."""
        del volumes
        self._kind("delete", "cluster")
        shutil.rmtree(self.folder, ignore_errors=True)
        if everything and state.names(self.settings.state_dir):
            down.down_all(self.settings)

    def kubeconfig(self) -> Path:
        """A file of its own; the user's is left alone."""
        if not self._kubeconfig.exists():
            raise self._absent()
        return self._kubeconfig

    def report(self) -> tuple[list[str], bool]:
        """One line; the rest is kind's to say."""
        if not self._exists():
            raise self._absent()
        return [f"kind cluster {self.settings.name} (see `kind get nodes`)"], True

    @property
    def _kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def _exists(self) -> bool:
        return self.settings.name in self._kind("get", "clusters").split()

    def _absent(self) -> errors.NoCluster:
        name = self.settings.name
        return errors.NoCluster(f"kind has no cluster {name}", "make it with `fairlead-cluster up`")

    def _workshop(self) -> images.Workshop:
        return images.open_workshop(self.settings.cache_dir, images.Options(engine="docker"))

    def _apply(self, access: Access, manifest: str, values: dict[str, str]) -> None:
        access.run(
            *("apply", "--server-side", "--force-conflicts", "--field-manager=fairlead-cluster"),
            "-f-",
            what=f"apply {manifest}",
            way_out=_WAY_OUT,
            stdin=yaml.safe_dump_all(manifests.objects(manifest, values)),
        )

    def _kind(self, *arguments: str) -> str:
        place: tuple[str, ...] = ()
        if arguments[0] in ("create", "delete"):
            place = (f"--kubeconfig={self._kubeconfig}",)
        if arguments[0] != "get":
            place += (f"--name={self.settings.name}",)
        return commands.run(
            ["kind", *arguments, *place],
            what=f"run `kind {' '.join(arguments[:2])}`",
            way_out=_WAY_OUT,
        )
