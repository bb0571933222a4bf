"""The page names every reason and every cause, where its kind is spoken of, and no other."""

import re
from pathlib import Path

import pytest

from fairlead_api.conditions import Reason
from fairlead_api.termination import Cause

ROOT = Path(__file__).resolve().parents[2]
PLANNERS = ROOT / "operator/controller/fairlead_operator"
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
KNOWN = {str(each) for each in (*Reason, *Cause)}


def named(text):
    """Every name in the first column of the tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def given(planner):
    """Every reason and cause that a planner's code speaks of."""
    code = "".join(path.read_text() for path in (PLANNERS / planner).glob("*.py"))
    members = {"Reason": Reason, "Cause": Cause}
    return {str(members[of][name]) for of, name in re.findall(r"\b(Reason|Cause)\.([A-Z_]+)", code)}


def test_every_reason_has_its_entry():
    assert not KNOWN - named(PAGE)


def test_no_entry_is_about_nothing():
    assert not named(PAGE) - KNOWN


@pytest.mark.parametrize(
    ("kind", "planner"), [("FineTuneJob", "finetune"), ("ModelService", "serving")]
)
def test_reason_of_a_kind_has_its_entry_where_that_kind_is_spoken_of(kind, planner):
    sections = [part.partition("\n") for part in PAGE.split("\n## ")]
    told = [text for heading, _, text in sections if kind in heading or heading == "Either kind"]
    assert given(planner)
    assert not given(planner) - named("\n".join(told))
