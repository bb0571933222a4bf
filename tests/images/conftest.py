"""The image workshop over a copy of the tree, with an engine whose store is a list."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from fairlead_cluster import imageengine, images, programs, toolchain

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class MemoryEngine(imageengine.Engine):
    """An engine whose store is a list; the real ones run in the e2e tier."""

    store: list[str] = dataclasses.field(default_factory=list)
    builds: list[imageengine.Build] = dataclasses.field(default_factory=list)
    pushed: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def build(self, build):
        self.builds.append(build)
        self.store.append(build.reference)

    def has(self, reference):
        return reference in self.store

    def references(self):
        return list(self.store)

    def push(self, reference, destination):
        assert reference in self.store
        self.pushed.append((reference, destination))

    def remove(self, reference):
        self.store.remove(reference)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what builds read."""
    for name in ("images", "requirements", "operator", "trainer", "server", "airflow"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".venv", "build")
        shutil.copytree(ROOT / name, tmp_path / "tree" / name, ignore=ignored)
    return tmp_path / "tree"


@pytest.fixture
def cache(tmp_path: Path) -> programs.Cache:
    return programs.Cache(
        folder=tmp_path / "cache", go=toolchain.Go(program=Path("/bin/false"), version="go1.26.8")
    )


@pytest.fixture
def workshop(tree, cache) -> images.Workshop:
    return images.Workshop(MemoryEngine("buildah"), cache, "example.org/python:3.11", root=tree)
