"""The page names every reason and every cause, and none that doesn't exist."""

import re
from pathlib import Path

from fairlead_api.conditions import Reason
from fairlead_api.termination import Cause

PAGE = (Path(__file__).resolve().parents[2] / "docs/troubleshooting.md").read_text()
FIRST_COLUMN = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
NAMED = {name for cell in FIRST_COLUMN for name in re.findall(r"`(\w+)`", cell)}
KNOWN = {str(each) for each in (*Reason, *Cause)}


def test_every_reason_has_its_entry():
    assert not KNOWN - NAMED


def test_no_entry_is_about_nothing():
    assert not NAMED - KNOWN
