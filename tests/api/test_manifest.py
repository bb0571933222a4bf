"""What validate says without a cluster, of every hand-written manifest of the cluster tier.

There the API server is asked about the same tables.
"""

from pathlib import Path

import pytest

from fairlead_admission import tables
from fairlead_api import manifest

SUITE = tables.read(Path(__file__).resolve().parents[1] / "cluster" / "admission")


def told(row):
    return [fault.field for fault in manifest.faults(row.manifest)]


def by_id(rows):
    return [pytest.param(row, id=row.id) for row in rows]


@pytest.mark.parametrize("row", by_id(row for row in SUITE.creations if row.names is None))
def test_valid_manifest_has_no_fault(row):
    assert told(row) == []


@pytest.mark.parametrize("row", by_id(row for row in SUITE.creations if row.names is not None))
def test_fault_is_told_with_its_place(row):
    whole = row.names.rpartition("[")[0]  # a list that has two items of a name
    below = (f"{row.names}.", f"{row.names}[")
    paths = told(row)
    assert whole in paths or any(path == row.names or path.startswith(below) for path in paths)


@pytest.mark.parametrize(
    "row", by_id(row for row in SUITE.changes if row.names is not None and "immutable" in row.says)
)
def test_what_only_a_change_breaks_is_not_told(row):
    assert told(row) == []


def test_an_unknown_member_hides_no_other_fault():
    """A list with one was never compared for names that are there twice, and the reading failed."""
    changes = {
        "spec.datasets[0].path": "x",
        "spec.datasets[1]": {"name": "rows", "inline": "{}"},
        "spec.numNodes": 0,
    }
    body = tables.changed(SUITE.minimal["FineTuneJob"], changes)
    found = [fault.field for fault in manifest.faults(body)]
    assert sorted(found) == ["spec.datasets", "spec.datasets[0].path", "spec.numNodes"]
