"""Rendering the chart with the pinned helm; the program is built into the cache when missing."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_cluster import programs, settings

CHART = Path(__file__).resolve().parents[2] / "charts/fairlead"
GATEWAY_API = "gateway.networking.k8s.io/v1/Gateway"
PROMETHEUS = (
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)


@dataclass(frozen=True)
class Helm:
    """One helm, one chart."""

    program: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.program, *arguments], capture_output=True, text=True)

    def template(
        self,
        *arguments: str,
        apis: tuple[str, ...] = (),
        release: str = "fairlead",
        namespace: str = "system",
    ) -> list[dict[str, Any]]:
        """Render as a cluster with these optional APIs would."""
        flags = [word for api in apis for word in ("--api-versions", api)]
        done = self.run("template", release, str(CHART), "-n", namespace, *arguments, *flags)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    def refusal(self, *arguments: str) -> str:
        """What helm says to values that it must not take."""
        done = self.run("template", "fairlead", str(CHART), *arguments)
        assert done.returncode != 0, "the values were accepted"
        return done.stderr


@pytest.fixture(scope="session")
def helm() -> Helm:
    cache = programs.open_cache(settings.load().cache_dir)
    return Helm(cache.build(["helm"])["helm"])


@pytest.fixture(scope="session")
def rendered(helm) -> list[dict[str, Any]]:
    """The default installation on a cluster with every optional API."""
    return helm.template("--set", "image.registry=reg", apis=(GATEWAY_API, *PROMETHEUS))


@pytest.fixture(scope="session")
def one(rendered) -> Callable[..., dict[str, Any]]:
    """The only rendered object of a kind (and name)."""

    def find(kind: str, name: str = "") -> dict[str, Any]:
        found = [
            document
            for document in rendered
            if document["kind"] == kind and name in ("", document["metadata"]["name"])
        ]
        assert len(found) == 1, [document["metadata"]["name"] for document in found]
        return found[0]

    return find
