"""Fairlead's images: which there are, and building and pushing what a registry lacks.

An image's tag is its key (`imagekeys`), so a tag never changes its meaning, and a second build
of unchanged content does nothing. The Dockerfiles know nothing of this module: docker, podman
and buildah build them by hand as well.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fairlead_cluster import (
    errors,
    imagebase,
    imageengine,
    imagefile,
    imagehost,
    imagekeys,
    imageregistry,
    pins,
    programs,
    progress,
)

ROOT = programs.ROOM.parent
"""The repository: the build context of every image but the add-ons."""
PUBLIC_BASE = "docker.io/library/python:3.11-slim-bookworm"
ACCELERATORS = ("cpu", "cuda")
FREE_BYTES = 12_000_000_000
"""What a build of the torch layer takes while it lasts."""


@dataclass(frozen=True)
class Image:
    """One image: a target of a Dockerfile and the images it stands on."""

    name: str
    folder: str
    usual_seconds: float
    """Cold, on two cores, with the images below it built."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Build argument to image's name."""
    target: str = ""
    """The stage, when it is not called like the image."""
    is_published: bool = True
    """Whether clusters pull it; the others are layers or tools of those."""


_BUILT_ON = {"BASE_IMAGE": "base", "BUILD_IMAGE": "build"}
_WITH_TORCH = {"TORCH_IMAGE": "torch", "BUILD_IMAGE": "build"}
_IMAGES = (
    Image("base", "base", 5, is_published=False),
    Image("build", "base", 20, is_published=False),
    Image("torch", "torch", 150, _BUILT_ON, is_published=False),
    Image("addons", "addons", 10, {"BASE_IMAGE": "base"}),
    Image("operator", "operator", 25, _BUILT_ON),
    Image("trainer", "trainer", 120, _WITH_TORCH),
    Image("server", "server", 120, _WITH_TORCH, target="cpu"),
)
IMAGES: Mapping[str, Image] = {image.name: image for image in _IMAGES}
PUBLISHED = tuple(image.name for image in _IMAGES if image.is_published)


@dataclass(frozen=True)
class Options:
    """What the user may choose."""

    engine: str | None = None
    """docker, podman or buildah; None takes the first that answers."""
    base_image: str | None = None
    """An image with Python 3.11, or `debootstrap`; None: the public one, debootstrap for buildah."""
    accelerator: str = "cpu"


@dataclass(frozen=True)
class Workshop:
    """An engine, its store, and what is built from where."""

    engine: imageengine.Engine
    cache: programs.Cache
    base_image: str
    accelerator: str = "cpu"
    root: Path = ROOT

    def key(self, name: str) -> str:
        """Key and tag of an image."""
        found = self._keys.get(name)
        if found is None:
            image = IMAGES[name]
            found = self._keys[name] = imagekeys.key(
                self._dockerfile(image), self.target(image), self.root, self.arguments(image)
            )
        return found

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {}

    def reference(self, name: str) -> str:
        """Name of an image in the local store."""
        return f"localhost/{repository(name)}:{self.key(name)}"

    def target(self, image: Image) -> str:
        """The stage to build: the server's depends on the accelerator."""
        return self.accelerator if image.target in ACCELERATORS else image.target or image.name

    def arguments(self, image: Image) -> dict[str, str]:
        """Build arguments of an image; the parents' references carry their keys."""
        found = {argument: self.reference(parent) for argument, parent in image.parents.items()}
        if image.folder == "base":
            found["BASE_IMAGE"] = self.base_image
        if image.name == "torch":
            found["ACCELERATOR"] = self.accelerator
        if image.name == "addons":
            # Nothing reads it: it puts the programs' own keys, not their 200 MB, into the key.
            found["PROGRAMS"] = " ".join(self.cache.key(name) for name in pins.ADDONS_IMAGE)
        asked = self._dockerfile(image).accepted(self.target(image))
        return {name: value for name, value in found.items() if name in asked}

    def _dockerfile(self, image: Image) -> imagefile.Dockerfile:
        return imagefile.parse((self._folder(image) / "Dockerfile").read_text())

    def _folder(self, image: Image) -> Path:
        return self.root / "images" / image.folder

    def build(self, names: Iterable[str], registry: str | None = None) -> dict[str, str]:
        """Build what neither the local store nor the registry holds; return the tags.

        Args:
            names: Images to have; what they stand on is built only when one of them is.
            registry: A registry whose images need no build, as `host:port`.

        Raises:
            CommandFailed: When a step fails.
            HostUnfit: When the disk is too full for a torch layer.
        """
        wanted = list(names)
        with self._locked():
            missing = self._missing(wanted, registry)
            for number, name in enumerate(missing, start=1):
                image = IMAGES[name]
                with progress.step(
                    f"build image {number} of {len(missing)}: {name}", image.usual_seconds
                ):
                    self._build_one(image)
        return {name: self.key(name) for name in wanted}
