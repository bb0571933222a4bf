"""CRDs under a group of this run's own, and the tables of hand-written manifests."""

import json
import os
from pathlib import Path

import pytest

from fairlead_admission import scratch, tables
from fairlead_admission.wire import Wire
from fairlead_api import crd
from fairlead_chaos import results

TABLES = Path(__file__).parent


@pytest.fixture(scope="session")
def scratch_group(cluster):
    """The group that holds copies of both CRDs."""
    crds = [crd.finetunejob_crd(), crd.modelservice_crd()]
    with scratch.installed(cluster.kubeconfig, crds) as group:
        yield group


@pytest.fixture(scope="session")
def wire(cluster):
    with Wire(cluster.kubeconfig) as wire:
        yield wire


@pytest.fixture(scope="session")
def in_scratch(scratch_group):
    """Moves a manifest into the scratch group."""
    return lambda manifest: scratch.moved(manifest, f"{scratch_group}/v1alpha1")


@pytest.fixture(scope="session")
def stored(wire, in_scratch):
    """The objects that rows change, as the API server stores them, by name."""
    before = tables.read(TABLES).before
    return {name: scratch.make(wire, in_scratch(body)) for name, body in before.items()}


@pytest.fixture(scope="session")
def report():
    """Counts to keep: printed, and written to FAIRLEAD_RESULTS where that names a folder."""
    counts = {}
    yield counts
    print(f"\nadmission: {json.dumps(counts)}")
    if folder := os.environ.get("FAIRLEAD_RESULTS"):
        head = results.head(counts.pop("seed", 0))
        results.write(Path(folder, "admission.json"), head | counts)
