"""Which images there are, and what each stands on. A table; nothing is built here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ACCELERATORS: Final = ("cpu", "cuda")
PUBLIC_BASE: Final = "docker.io/library/python:3.11-slim-bookworm"


@dataclass(frozen=True)
class Image:
    """One image: a target of a Dockerfile and the images it stands on."""

    name: str
    folder: str
    """Folder below `images/` with the Dockerfile."""
    usual_seconds: float
    """To build it cold, on two cores, with the images below it built."""
    usual_push_seconds: float = 5
    """To push it where nothing of it is."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Build argument to image's name."""
    is_published: bool = True
    """Whether clusters pull it; the others are layers or tools of those."""
    by_accelerator: bool = False
    """Whether its stages are called like the accelerators, one each."""

    @property
    def repository(self) -> str:
        """Its name below a registry."""
        return f"fairlead-{self.name}"

    def target(self, accelerator: str) -> str:
        """The stage that makes the image."""
        return accelerator if self.by_accelerator else self.name


_BUILT_ON = {"BASE_IMAGE": "base", "BUILD_IMAGE": "build"}
_WITH_TORCH = {"TORCH_IMAGE": "torch", "BUILD_IMAGE": "build"}
_IMAGES: Final = (
    Image("base", "base", 5, is_published=False),
    Image("build", "base", 20, is_published=False),
    Image("torch", "torch", 150, parents=_BUILT_ON, is_published=False),
    Image("operator", "operator", 25, 5, _BUILT_ON),
    Image("airflow", "airflow", 45, 10, _BUILT_ON),
    Image("addons", "addons", 10, 5, {"BASE_IMAGE": "base"}),
    Image("postgres", "postgres", 25, 5, _BUILT_ON, is_published=False),
    Image("trainer", "trainer", 180, 60, _WITH_TORCH),
    Image("server", "server", 120, 60, _WITH_TORCH, by_accelerator=True),
)
IMAGES: Final[Mapping[str, Image]] = {image.name: image for image in _IMAGES}
PUBLISHED: Final = tuple(image.name for image in _IMAGES if image.is_published)
USUAL_SECONDS: Final = sum(image.usual_seconds for image in _IMAGES)
"""To build all of them cold, where nothing else runs."""
USUAL_PUSH_SECONDS: Final = sum(IMAGES[name].usual_push_seconds for name in PUBLISHED)
