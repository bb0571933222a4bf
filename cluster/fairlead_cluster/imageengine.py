"""docker, podman or buildah: the one that is here builds, keeps and pushes images.

The only module that calls them. Layers carry one fixed time, so the same input gives the same
layer and is pushed once. buildah and podman run here; docker has its own spelling of the same and
is untested on the machines of this project's tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import commands, errors, host, ranges

ENGINES = ("docker", "podman", "buildah")
FIXED_TIME = 315532800
"""1980-01-01, the oldest time that a zip file can say."""


_PLAIN_HTTP = re.compile(
    rf"(localhost|127\.\d+\.\d+\.\d+|{re.escape(str(ranges.REGISTRY_ADDRESS))})(:\d+)?/.*"
)
"""Registries of this machine speak http."""


@dataclass(frozen=True)
class Build:
    """One call of an engine."""

    reference: str
    dockerfile: Path
    target: str
    """The stage to build; empty for the last."""
    context: Path
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path]
    log: Path


@dataclass(frozen=True)
class Engine:
    """A program that builds images, and its own local store."""

    kind: str

    def build(self, build: Build) -> None:
        """Build one target; the whole output goes to the log.

        Raises:
            CommandFailed: When a step fails; the message has its last lines.
        """
        build.log.parent.mkdir(parents=True, exist_ok=True)
        with build.log.open("w") as output:
            done = subprocess.run(
                self.command(build), stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode != 0:
            raise commands.failure(
                f"build the image {build.reference}",
                done.returncode,
                build.log.read_text(errors="replace"),
                f"the whole output is in {build.log}",
            )

    def command(self, build: Build) -> list[str]:
        """Spell a build for this engine."""
        words = [self.kind, "build", "--network", "host"]
        if self.kind == "buildah":
            words += ["--isolation", "chroot"]
        if self.kind != "docker":
            # Only what the local store lacks is pulled; a failed build leaves nothing behind.
            words += ["--layers", "--force-rm", "--timestamp", str(FIXED_TIME), "--pull=false"]
        for name, value in sorted(build.arguments.items()):
            words += ["--build-arg", f"{name}={value}"]
        for name, path in sorted(build.secrets.items()):
            words += ["--secret", f"id={name},src={path}"]
        if build.target:
            words += ["--target", build.target]
        words += ["--tag", build.reference]
        return [*words, "--file", str(build.dockerfile), str(build.context)]

    def has(self, reference: str) -> bool:
        """Tell whether the local store holds an image."""
        words = {
            "docker": ["image", "inspect", "--format", "{{.Id}}"],
            "podman": ["image", "exists"],
            "buildah": ["inspect", "--type", "image", "--format", "{{.FromImageID}}"],
        }[self.kind]
        done = subprocess.run([self.kind, *words, reference], capture_output=True, check=False)
        return done.returncode == 0

    def references(self) -> list[str]:
        """List what the local store holds, as `name:tag`."""
        words = ["images", "--format"]
        words.append("{{.Repository}}:{{.Tag}}" if self.kind == "docker" else "{{.Name}}:{{.Tag}}")
        if self.kind == "podman":
            words[-1] = "{{.Repository}}:{{.Tag}}"
        return self._call(words, "list local images").split()

    def push(self, reference: str, destination: str) -> None:
        """Copy the layers that the registry lacks, and the manifest.

        Raises:
            CommandFailed: When the registry refuses.
        """
        what = f"push {destination}"
        if self.kind == "docker":
            self._call(["tag", reference, destination], what)
            self._call(["push", "--quiet", destination], what)
            return
        words = ["push", "--quiet"]
        if _PLAIN_HTTP.fullmatch(destination):
            # Nobody else pulls from here: zstd packs a torch layer several times as fast as gzip.
            words += ["--tls-verify=false", "--format", "oci", "--compression-format", "zstd"]
        self._call([*words, reference, f"docker://{destination}"], what)

    def remove(self, reference: str) -> None:
        """Forget an image and the layers that no other image uses."""
        self._call(["rmi", reference], f"remove {reference}")

    def _call(self, words: list[str], what: str) -> str:
        return commands.run(
            [self.kind, *words], what=what, way_out=f"run `{self.kind} {' '.join(words)}` to see"
        )


def find(wanted: str | None = None) -> Engine:
    """Choose the engine: the one asked for, else the first that answers, else install buildah.

    Raises:
        HostUnfit: When none answers and none can be installed.
    """
    if wanted is not None:
        if wanted not in ENGINES:
            raise errors.ClusterError(f"no engine {wanted!r}", f"use {', '.join(ENGINES)}")
        if not answers(wanted):
            raise errors.HostUnfit(f"{wanted} doesn't answer", f"start it: `{wanted} info`")
        return Engine(wanted)
    for kind in ENGINES:
        if answers(kind):
            return Engine(kind)
    host.ensure_packages({"buildah": "buildah"})
    return Engine("buildah")


def answers(kind: str) -> bool:
    """Tell whether an engine is installed and ready; docker needs its daemon."""
    if shutil.which(kind) is None:
        return False
    try:
        done = subprocess.run([kind, "info"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
