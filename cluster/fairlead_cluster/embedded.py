"""The embedded cluster as a provider: the verbs of this machine's own Kubernetes, joined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import down, images, loading, registry, release, state, status, up
from fairlead_cluster.access import Access
from fairlead_cluster.provider import Provider


@dataclass(frozen=True)
class Embedded(Provider):
    """The embedded cluster of the settings' name."""

    def reach(self, wanted: up.Wanted) -> Access:
        """Bring the cluster up."""
        opened = up.up(self.settings, wanted)
        path = opened.cache.path
        return Access(path("kubectl"), path("helm"), opened.where.kubeconfig, None)

    def push_images(self) -> dict[str, str]:
        """Push to the registry of the machine's own."""
        workshop = images.open_workshop(self.settings.cache_dir, images.Options())
        own = registry.ensure(self.settings.state_dir, workshop.cache)
        pushed = workshop.push(release.RELEASED, own)
        own.keep()
        return pushed

    def down(self, *, everything: bool, volumes: bool) -> None:
        """Remove the cluster or all of them; their volumes lie inside."""
        del volumes
        remove = down.down_all if everything else down.down
        remove(self.settings)

    def load(self, image: str, name: str | None) -> str:
        """Push to the registry of the machine's own."""
        return loading.load(self.settings, image, name)

    def kubeconfig(self) -> Path:
        """The administrator's."""
        return status.require(self.settings)[0].where.kubeconfig

    def report(self) -> tuple[list[str], bool]:
        """A line a component."""
        lines, is_whole = status.report(*status.require(self.settings))
        others = [
            name for name in state.names(self.settings.state_dir) if name != self.settings.name
        ]
        if others:
            lines.append(f"also here: {', '.join(others)}; `down --all` removes them too")
        return lines, is_whole
