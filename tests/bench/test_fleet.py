"""What the bench of the operator counts by, without a cluster: the audit log, percentiles."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent


@pytest.fixture
def part(monkeypatch):
    """Imports a module of the bench, whose names are of its own folder only."""
    folders = [BENCH, BENCH / "fleet", BENCH.parent / "chaos"]
    monkeypatch.setattr(sys, "path", [*map(str, folders), *sys.path])
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if BENCH in Path(file).parents:
            del sys.modules[name]


class Log:
    """An audit log that the API server renames when it is full."""

    def __init__(self, folder):
        self.folder, self.current, self.num_renamed = folder, folder / "audit.log", 0

    def tell(self, account, verb):
        user = {"username": f"system:serviceaccount:fairlead-bench-system:{account}"}
        event = {"user": user, "verb": verb}
        with self.current.open("a") as lines:
            lines.write(json.dumps(event, separators=(",", ":")) + "\n")

    def rename(self):
        self.num_renamed += 1
        self.current.rename(self.folder / f"audit-{self.num_renamed}.log")


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.mark.parametrize("num_renamed", [0, 1, 2])
def test_all_that_an_account_asked_after_a_mark_is_found(part, log, num_renamed):
    account = part("account")
    log.tell("fairlead", "before")
    mark = account.mark(log.folder)
    for number in range(num_renamed):
        log.tell("fairlead", f"earlier-{number}")
        log.tell("naive", "other")
        log.rename()
    log.tell("fairlead", "last")
    found = [event["verb"] for event in account.events(log.folder, "fairlead", mark)]
    assert found == [*(f"earlier-{number}" for number in range(num_renamed)), "last"]


def test_log_that_no_longer_goes_back_to_the_mark_is_refused(part, log):
    account = part("account")
    log.tell("fairlead", "before")
    mark = account.mark(log.folder)
    log.rename()
    log.tell("fairlead", "after")
    (log.folder / "audit-1.log").unlink()
    with pytest.raises(LookupError, match="dropped what followed the mark"):
        list(account.events(log.folder, "fairlead", mark))


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1), (0.5, 25), (0.98, 49), (0.99, 50), (1, 50)]
)
def test_percentile_leaves_no_worst_value_out(part, share, expected):
    assert part("figures").percentile(range(1, 51), share) == expected


def test_part_that_is_measured_alone_takes_its_own_place_only(part, tmp_path, monkeypatch):
    results, begun = part("results"), {"commit": "HEAD"}
    monkeypatch.setattr(results.Results, "page", lambda self: "")
    first = results.Results(tmp_path)
    for num_jobs in (5000, 1000):
        first.of_size(num_jobs, {"figure": 1}, begun)
    first.of_memory({"figure": 1}, begun)
    results.Results(tmp_path).of_size(1000, {"figure": 2}, begun)
    found = json.loads((tmp_path / "operator.json").read_text())
    assert list(found["sizes"]) == ["1000", "5000"]
    assert [each["figure"] for each in found["sizes"].values()] == [2, 1]
    assert found["memory"]["figure"] == 1
