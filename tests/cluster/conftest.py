"""A running control plane for the tests of the cluster tier: real API server, simulated nodes."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead_cluster import settings, up


@dataclasses.dataclass(frozen=True)
class RunningCluster:
    """What a test needs of the cluster."""

    name: str
    kubeconfig: Path
    kubectl: Path
    audit_log: Path


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """Bring up the cluster FAIRLEAD_TEST_CLUSTER, or reuse it; `make down` removes it."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    name = os.environ.get("FAIRLEAD_TEST_CLUSTER", "fairlead-test")
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(name))
    opened = up.up(chosen, up.Wanted(control_plane_only=True, num_simulated_gpu_nodes=4))
    yield RunningCluster(
        name=name,
        kubeconfig=opened.where.kubeconfig,
        kubectl=opened.cache.path("kubectl"),
        audit_log=opened.where.audit_log,
    )
