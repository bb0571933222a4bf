"""What tests of several parts need."""

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

OURS = "localhost,127.0.0.1,198.18.0.0/15"


def pytest_configure(config):
    """Keep the tests to what is theirs.

    Airflow makes its folder as soon as it is imported: not in the home of who runs the tests. A
    cluster is one of this machine's own, never the one that somebody works with. What listens on
    this machine, and such a cluster, is asked without anybody's proxy.
    """
    direct = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    if direct != "*":
        direct = f"{direct},{OURS}".lstrip(",")
    os.environ.update(NO_PROXY=direct, no_proxy=direct)
    if config.pluginmanager.hasplugin("hypothesispytest"):  # absent inside the images
        _be_patient()
    os.environ["FAIRLEAD_PROVIDER"] = "embedded"
    os.environ.pop("FAIRLEAD_CONTEXT", None)
    folder = tempfile.mkdtemp(prefix="fairlead-airflow-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = folder
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    # By default every 30 s: six files that nobody changes, each for a second and more.
    os.environ["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] = "600"


def _be_patient():
    """Hypothesis takes an example that is slow, as all are on a busy machine, for a fault."""
    from hypothesis import HealthCheck, settings

    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def nobody():
    """The address of a port on which nobody listens, and that no other test is given."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


MOMENT = "2026-01-01T00:00:00Z"


def condition(type_: str, status: str = "True", reason: str = "Reason", message: str = "") -> dict:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": MOMENT,
    }


@pytest.fixture
def make_condition():
    return condition


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """A FineTuneJob with the given status."""

    def make(version: int = 1, **status: Any) -> dict[str, Any]:
        return {
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "units", "namespace": "demo", "resourceVersion": str(version)},
            "spec": {
                "model": {"uri": "pvc://models/base"},
                "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
                "trainer": {"type": "SFT"},
                "storage": {"claimName": "models"},
            },
            "status": status,
        }

    return make


@pytest.fixture
def service() -> Callable[..., dict[str, Any]]:
    """A ModelService with the given status."""

    def make(generation: int = 1, spec: dict[str, Any] | None = None, **status: Any) -> dict:
        return {
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {
                "name": "units",
                "namespace": "demo",
                "resourceVersion": "1",
                "generation": generation,
            },
            "spec": {"model": {"uri": "pvc://models/base"}, **(spec or {})},
            "status": {"observedGeneration": 1, **status},
        }

    return make
