"""A cluster of kind, where a docker engine answers. UNTESTED: no machine of ours has docker.

The same add-ons as on the embedded cluster, but for DNS, which kind brings itself.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from fairlead_cluster import commands, gateway, imageengine, images, manifests, programs
from fairlead_cluster.settings import Settings

_WAY_OUT = "see `docker ps`, or set FAIRLEAD_PROVIDER=embedded"


def is_usable() -> bool:
    """Tell whether kind is installed and docker answers."""
    return shutil.which("kind") is not None and imageengine.answers("docker")


@dataclass(frozen=True)
class Kind:
    """The kind cluster of the settings' name."""

    settings: Settings

    @property
    def folder(self) -> Path:
        """Kubeconfig and chart; no state.json, so no embedded cluster is seen in it."""
        return self.settings.state_dir / f".kind-{self.settings.name}"

    @property
    def kubeconfig(self) -> Path:
        """A file of its own; the user's is left alone."""
        return self.folder / "kubeconfig"

    def up(self) -> Path:
        """Make the cluster and its add-ons, and return the kubeconfig."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.settings.name not in self._kind("get", "clusters").split():
            self._kind("create", "cluster", "--wait=180s")
        cache = programs.open_cache(self.settings.cache_dir)
        workshop = images.open_workshop(self.settings.cache_dir, images.Options(engine="docker"))
        workshop.build(["addons"])
        image = workshop.reference("addons")
        self.load(image)
        values = {
            "image": image,
            "volumes": "/var/local-path",
            "node": f"{self.settings.name}-control-plane",
        }
        # kind's own class takes no ReadWriteMany claim.
        self._apply(cache, "local-path.yaml", values)
        gateway.of(cache, self.kubeconfig, self.folder, image).install()
        self._apply(cache, "gateway.yaml", values)
        return self.kubeconfig

    def load(self, image: str) -> None:
        """Give an image of docker to the cluster's node."""
        self._kind("load", "docker-image", image)

    def down(self) -> None:
        """Remove the cluster."""
        self._kind("delete", "cluster")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _apply(self, cache: programs.Cache, manifest: str, values: dict[str, str]) -> None:
        commands.run(
            [
                *(cache.build(["kubectl"])["kubectl"], f"--kubeconfig={self.kubeconfig}", "apply"),
                *("--server-side", "--force-conflicts", "--field-manager=fairlead-cluster", "-f-"),
            ],
            what=f"apply {manifest}",
            way_out=_WAY_OUT,
            stdin=yaml.safe_dump_all(manifests.objects(manifest, values)),
        )

    def _kind(self, *arguments: str) -> str:
        place: tuple[str, ...] = ()
        if arguments[0] in ("create", "delete"):
            place = (f"--kubeconfig={self.kubeconfig}",)
        if arguments[0] != "get":
            place += (f"--name={self.settings.name}",)
        return commands.run(
            ["kind", *arguments, *place],
            what=f"run `kind {' '.join(arguments[:2])}`",
            way_out=_WAY_OUT,
        )
