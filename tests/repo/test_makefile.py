"""`make help` lists every verb."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_help_lists_every_target_with_its_line():
    explained = re.findall(r"^(\S+):[^#\n]*## (.+)$", MAKEFILE, re.MULTILINE)
    (verbs,) = re.findall(r"^\.PHONY: (help .*)$", MAKEFILE, re.MULTILINE)
    assert {name for name, _ in explained} == set(verbs.split())
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [tuple(line.split(maxsplit=1)) for line in done.stdout.splitlines()] == explained
