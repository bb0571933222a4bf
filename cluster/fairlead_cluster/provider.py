"""What every provider of a cluster can do; `providers` chooses one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import up
from fairlead_cluster.access import Access
from fairlead_cluster.settings import Settings


@dataclass(frozen=True)
class Provider(ABC):
    """A way to have a cluster; every method may be called again after an interruption."""

    settings: Settings

    @abstractmethod
    def reach(self, wanted: up.Wanted) -> Access:
        """Bring the cluster up, or look whether one of the user's own will do."""

    @abstractmethod
    def push_images(self) -> dict[str, str]:
        """Build what is missing and bring it to where the nodes find it.

        Returns:
            Of each image that the chart names, the reference that nodes know it by.
        """

    def install(self, access: Access, references: Mapping[str, str]) -> None:
        """Install or upgrade the chart with these images."""
        access.release.install(references)

    def up(self, wanted: up.Wanted) -> Access:
        """Do all that the verb `up` means here."""
        return self.reach(wanted)

    @abstractmethod
    def down(self, *, everything: bool, volumes: bool) -> None:
        """Remove what `up` and the demo made.

        Args:
            everything: Not this cluster only but all that we run on this machine.
            volumes: Also the volumes, where they could outlive the rest.
        """

    @abstractmethod
    def load(self, image: str, name: str | None) -> str:
        """Give an image of this machine to the cluster; return its name in manifests."""

    @abstractmethod
    def kubeconfig(self) -> Path:
        """Where the kubeconfig that we wrote lies.

        Raises:
            NoCluster: When there is none.
        """

    @abstractmethod
    def report(self) -> tuple[list[str], bool]:
        """Describe the cluster in lines, and tell whether all of it is there."""
