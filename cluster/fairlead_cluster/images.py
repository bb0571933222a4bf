"""Fairlead's images: build what is missing, push what a registry lacks, remove what is old.

An image's tag is its key (`imagekeys`), so it never changes its meaning, and a second build of
unchanged content does nothing; only a release's tag moves. The Dockerfiles know nothing of this
module: docker, podman and buildah build them by hand as well.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fairlead_cluster import (
    errors,
    imagebase,
    imageengine,
    imagefile,
    imagehost,
    imagekeys,
    imagetable,
    pins,
    programs,
    progress,
)
from fairlead_cluster.registry import Registry

ROOT = programs.ROOM.parent
"""The repository: the build context of every image but the add-ons."""
SHARED = "fairlead"
"""The repository that the machine's registry gets every image in first. Engines look for a layer
in the repository they push to, and this registry can't mount one from another: a torch layer
would travel once for the trainer and once for the server."""
FREE_BYTES = 12_000_000_000
"""What building the torch layer and pushing it take while they last."""


@dataclass(frozen=True)
class Options:
    """What the user may choose."""

    engine: str | None = None
    """docker, podman or buildah; None takes the first that answers."""
    base_image: str | None = None
    """An image with Python 3.11, or `debootstrap`; None: debootstrap for buildah, else public."""
    accelerator: str = "cpu"


@dataclass(frozen=True)
class Workshop:
    """An engine with its local store, and what it builds from."""

    engine: imageengine.Engine
    cache: programs.Cache
    base_image: str
    accelerator: str = "cpu"
    root: Path = ROOT
    _keys: dict[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """Key and tag of an image."""
        if name not in self._keys:
            image = imagetable.IMAGES[name]
            self._keys[name] = imagekeys.key(
                self._dockerfile(image),
                image.target(self.accelerator),
                self._arguments(image),
                self._fingerprints(image),
            )
        return self._keys[name]

    def reference(self, name: str) -> str:
        """Name of an image in the local store."""
        return f"localhost/{tagged(name, self.key(name))}"

    def build(self, names: Iterable[str], registry: Registry | None = None) -> dict[str, str]:
        """Build what neither the registry nor the local store holds.

        Args:
            names: Images to have; what they stand on is built only when one of them is.
            registry: The machine's own, whose images need no build.

        Returns:
            The tag of each image.

        Raises:
            CommandFailed: When a step fails.
            HostUnfit: When the disk is too full for a torch layer.
        """
        wanted = list(names)
        missing = self._missing(wanted, registry)
        if "torch" in missing:
            self._check_room()
        if {"base", "build"} & set(missing) and self.base_image == debian_reference():
            with self._locked("debian"):
                imagebase.ensure(self.engine, self.base_image, self._log("debian"))
        for number, name in enumerate(missing, start=1):
            usual = imagetable.IMAGES[name].usual_seconds
            step = progress.step(f"build image {number} of {len(missing)}: {name}", usual)
            with step, self._locked(name):
                if not self.engine.has(self.reference(name)):  # who held the lock built it
                    self._build_one(imagetable.IMAGES[name])
        return {name: self.key(name) for name in wanted}

    def push(self, names: Iterable[str], registry: Registry | str) -> dict[str, str]:
        """Build what is missing, and push what the registry lacks.

        Args:
            names: Images to push.
            registry: The machine's own, or the address of any other, which is asked nothing:
                it may want credentials that only the engine has, and a push there moves missing
                layers only.

        Returns:
            The reference by which pods pull each image.

        Raises:
            CommandFailed: When a build fails or the registry refuses.
        """
        if isinstance(registry, str):
            tags = self.build(names)
            for name, tag in tags.items():
                self._push_one(name, f"{registry}/{tagged(name, tag)}")
            return {name: f"{registry}/{tagged(name, tag)}" for name, tag in tags.items()}
        tags = self.build(names, registry)
        for name, tag in tags.items():
            with self._locked(name):  # who held the lock may have pushed it
                repository = imagetable.IMAGES[name].repository
                if not registry.has(repository, tag):
                    self._push_one(name, f"{registry.url_for_host}/{SHARED}:{name}-{tag}")
                    registry.name_again((SHARED, f"{name}-{tag}"), (repository, tag))
                    registry.keep()
        return {name: f"{registry.url_for_node}/{tagged(name, tag)}" for name, tag in tags.items()}

    def tag(self, names: Iterable[str], registry: Registry | str, version: str) -> None:
        """Give images that were pushed the tag of a release too, whatever had it before.

        Raises:
            CommandFailed: When the registry refuses.
        """
        with progress.step(f"tag what was pushed {version}"):
            for name in names:
                repository = imagetable.IMAGES[name].repository
                if isinstance(registry, str):
                    # Their layers are there: this moves a manifest each.
                    self.engine.push(self.reference(name), f"{registry}/{repository}:{version}")
                else:
                    registry.name_again((repository, self.key(name)), (repository, version))
            if not isinstance(registry, str):
                registry.keep()

    def _push_one(self, name: str, destination: str) -> None:
        usual = imagetable.IMAGES[name].usual_push_seconds
        with progress.step(f"push {name} to {destination.split('/')[0]}", usual):
            self.engine.push(self.reference(name), destination)

    def prune(self) -> list[str]:
        """Remove the local images that the tree no longer stands for; return what went."""
        current = {self.reference(name) for name in imagetable.IMAGES} | {self.base_image}
        old = [
            reference
            for reference in self.engine.references()
            if reference.startswith("localhost/fairlead-") and reference not in current
        ]
        for reference in old:
            self.engine.remove(reference)
        return old

    def _missing(self, names: Iterable[str], registry: Registry | None) -> list[str]:
        """List what must be built, parents first."""
        found: list[str] = []

        def visit(name: str, *, is_pulled: bool) -> None:
            image = imagetable.IMAGES[name]
            if name in found or self.engine.has(self.reference(name)):
                return
            if is_pulled and registry and registry.has(image.repository, self.key(name)):
                return
            for parent in self._parents(image).values():
                visit(parent, is_pulled=False)
            found.append(name)

        for name in names:
            visit(name, is_pulled=True)
        return found

    def _build_one(self, image: imagetable.Image) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            self.engine.build(
                imageengine.Build(
                    reference=self.reference(image.name),
                    dockerfile=self._folder(image) / "Dockerfile",
                    target=image.target(self.accelerator),
                    context=self._context(image),
                    arguments=self._arguments(image),
                    secrets=imagehost.secrets(Path(scratch)),
                    log=self._log(image.name),
                )
            )

    def _parents(self, image: imagetable.Image) -> dict[str, str]:
        """Images that the target stands on; vLLM's own brings its torch, for one."""
        asked = self._dockerfile(image).asked(image.target(self.accelerator))
        return {name: parent for name, parent in image.parents.items() if name in asked}

    def _arguments(self, image: imagetable.Image) -> dict[str, str]:
        """Build arguments of an image; the parents' references carry their keys."""
        parents = self._parents(image)
        found = {argument: self.reference(parent) for argument, parent in parents.items()}
        if image.folder == "base":
            found["BASE_IMAGE"] = self.base_image
        if image.name == "torch":
            found["ACCELERATOR"] = self.accelerator
        return found

    def _fingerprints(self, image: imagetable.Image) -> dict[str, str]:
        """What an image's files are known by; programs are known by the keys they have."""
        if image.name == "addons":
            return {name: self.cache.key(name) for name in pins.ADDONS_IMAGE}
        target = image.target(self.accelerator)
        return imagekeys.fingerprints(self._dockerfile(image), target, self.root)

    def _log(self, name: str) -> Path:
        return self.cache.folder / "logs" / f"image-{name}.log"

    def _context(self, image: imagetable.Image) -> Path:
        """The folder to build in: the repository, or for the add-ons one with links."""
        if image.name != "addons":
            return self.root
        built = self.cache.build(pins.ADDONS_IMAGE)
        context = self.cache.folder / "images" / image.name
        shutil.rmtree(context, ignore_errors=True)
        (context / "bin").mkdir(parents=True)
        for name, path in built.items():
            os.link(path, context / "bin" / name)
        return context

    def _dockerfile(self, image: imagetable.Image) -> imagefile.Dockerfile:
        return imagefile.parse((self._folder(image) / "Dockerfile").read_text())

    def _folder(self, image: imagetable.Image) -> Path:
        return self.root / "images" / image.folder

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Let one process build an image; others build other images meanwhile."""
        folder = self.cache.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"image-{name}.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _check_room(self) -> None:
        self.cache.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.cache.folder).free
        if free < FREE_BYTES:
            raise errors.HostUnfit(
                f"building the torch layer needs {FREE_BYTES / 1e9:.0f} GB of disk,"
                f" {free / 1e9:.0f} GB are free",
                "free some space, e.g. by `fairlead-cluster images prune`",
            )


def tagged(name: str, tag: str) -> str:
    """Name of an image below a registry."""
    return f"{imagetable.IMAGES[name].repository}:{tag}"


def debian_reference() -> str:
    """Name of the base image that debootstrap makes."""
    return f"localhost/fairlead-debian:{imagebase.key()}"


def open_workshop(cache_dir: Path, options: Options) -> Workshop:
    """Choose engine and base image.

    Raises:
        ClusterError: When an option has no such value.
        HostUnfit: When no engine answers.
    """
    if options.accelerator not in imagetable.ACCELERATORS:
        raise errors.ClusterError(
            f"no accelerator {options.accelerator!r}", f"use {' or '.join(imagetable.ACCELERATORS)}"
        )
    engine = imageengine.find(options.engine)
    base = options.base_image
    if base is None:
        # buildah stands where no engine runs, which is where registries are out of reach too.
        base = imagebase.KEYWORD if engine.kind == "buildah" else imagetable.PUBLIC_BASE
    if base == imagebase.KEYWORD:
        base = debian_reference()
    return Workshop(engine, programs.open_cache(cache_dir), base, options.accelerator)
