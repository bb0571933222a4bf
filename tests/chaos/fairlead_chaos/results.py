"""What a campaign counted, and its file: JSON with commit, seed and date.

Data and files only. docs/testing.md is written from these files, by ``pages.py``.
"""

import dataclasses
import json
import platform
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fairlead_chaos.faults import Plan
from fairlead_chaos.findings import Finding

ROOT: Final = Path(__file__).resolve().parents[3]
WORDS: Final = 2000
"""Most characters of a finding that a file keeps."""


@dataclass(frozen=True)
class Judged:
    """One run's verdict."""

    plan: Plan
    findings: tuple[Finding, ...]
    is_reached: bool
    """Whether every point of the plan came; else the plan did not happen and counts for nothing."""
    seconds: float


@dataclass
class Tally:
    """Counts of one campaign, by scenario."""

    planned: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Plans whose point did not come."""
    failed: list[Judged] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        """Count one run; what was found wrong counts whether the point came or not."""
        counter = self.happened if judged.is_reached else self.missed
        counter[judged.plan.scenario] += 1
        if judged.findings:
            self.failed.append(judged)

    def as_object(self) -> dict[str, Any]:
        """The JSON of the counts and of everything that was found."""
        return {
            "planned": self.planned,
            "happened": self.happened.total(),
            "missed": self.missed.total(),
            "with_findings": len(self.failed),
            "happened_by_scenario": dict(sorted(self.happened.items())),
            "missed_by_scenario": dict(sorted(self.missed.items())),
            "findings": [_found(judged) for judged in self.failed],
        }


def _found(judged: Judged) -> dict[str, Any]:
    return {
        "plan": json.loads(judged.plan.to_json()),
        "is_reached": judged.is_reached,
        "found": [str(finding)[:WORDS] for finding in judged.findings],
    }


def head(seed: int) -> dict[str, Any]:
    """Of what code, when and on what kind of machine: nothing of the machine's own names."""
    return {
        "commit": _commit(),
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
    }


def write(path: Path, body: dict[str, Any]) -> None:
    """Write a result file: sorted, so that two of them compare."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1, sort_keys=True, default=_plain) + "\n")


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a result file")


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = " and uncommitted changes" if git("status", "--porcelain", "-uno") else ""
    return (git("rev-parse", "HEAD") or "no commit") + changed
