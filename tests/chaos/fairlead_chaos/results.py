"""What a campaign counted, and its file: JSON with commit, seed and date.

Data and files only. docs/testing.md is written from these files, by ``pages.py``.
"""

import json
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fairlead_chaos.faults import Plan
from fairlead_chaos.findings import Finding

ROOT: Final = Path(__file__).resolve().parents[3]
WORDS: Final = 2000
"""Most characters of a finding that a file keeps."""
MOST_STARVED: Final = 0.02
"""Share of a campaign's plans, or walks, of which a run may have been starved."""
MOST_UNREACHED: Final = 0.1
"""Share of a campaign's plans whose point may not have come in each run."""
MOST_MISSED: Final = 0.02
"""Share of a campaign's plans whose point may not have come in any run."""


@dataclass(frozen=True)
class Judged:
    """One run's verdict."""

    plan: Plan
    findings: tuple[Finding, ...]
    is_reached: bool
    """Whether every point of the plan came; else the plan did not happen and counts for nothing."""
    num_starved: int = 0
    """Runs of the plan for which the machine was too slow."""
    num_unreached: int = 0
    """Runs of the plan in which a point did not come: timing moves it."""

    @property
    def outcome(self) -> str:
        """In one word."""
        if self.findings:
            return "found"
        return "well" if self.is_reached else "missed"


@dataclass
class Tally:
    """The verdicts of one campaign."""

    planned: int = 0
    judged: list[Judged] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        """Take one plan's verdict."""
        self.judged.append(judged)

    @property
    def happened(self) -> Counter[str]:
        """Plans that happened, by scenario."""
        return Counter(one.plan.scenario for one in self.judged if one.is_reached)

    @property
    def missed(self) -> Counter[str]:
        """Plans whose point did not come, by scenario."""
        return Counter(one.plan.scenario for one in self.judged if not one.is_reached)

    @property
    def failed(self) -> list[Judged]:
        """What was found wrong counts whether the point came or not."""
        return [one for one in self.judged if one.findings]

    @property
    def starved(self) -> int:
        """Plans of which a run was starved."""
        return sum(one.num_starved > 0 for one in self.judged)

    @property
    def unreached(self) -> int:
        """Plans of which a run did not reach a point."""
        return sum(one.num_unreached > 0 for one in self.judged)

    @property
    def excess(self) -> list[str]:
        """What there is too much of for the rest to prove anything."""
        return [
            *too_many(self.starved, self.planned, "plans starved", MOST_STARVED),
            *too_many(self.unreached, self.planned, "plans unreached", MOST_UNREACHED),
            *too_many(self.missed.total(), self.planned, "plans missed", MOST_MISSED),
        ]

    def as_object(self) -> dict[str, Any]:
        """The JSON of the counts and of everything that was found."""
        return {
            "planned": self.planned,
            "happened": self.happened.total(),
            "missed": self.missed.total(),
            "starved": self.starved,
            "unreached": self.unreached,
            "excess": self.excess,
            "with_findings": len(self.failed),
            "scenarios": len(self.happened),
            "faults": _kinds_of_faults(one.plan for one in self.judged if one.is_reached),
            "happened_by_scenario": dict(sorted(self.happened.items())),
            "missed_by_scenario": dict(sorted(self.missed.items())),
            "findings": [_found(judged) for judged in sorted(self.failed, key=_place)],
        }

    def lines(self) -> list[str]:
        """Each plan with its outcome as one line of JSON, sorted; ``replay`` takes them."""
        return [_line(one) for one in sorted(self.judged, key=_place)]


def too_many(count: int, total: int, what: str, most: float) -> list[str]:
    """Says so where a count is more than its share."""
    told = f"{count} of {total} {what}, at most {most:.0%} may be"
    return [told] if count > most * total else []


def _kinds_of_faults(plans: Iterable[Plan]) -> dict[str, int]:
    """How many plans of each kind of fault."""
    counted = Counter("+".join(type(fault).__name__ for fault in plan.faults) for plan in plans)
    return dict(sorted(counted.items()))


def _place(judged: Judged) -> tuple[str, str]:
    return judged.plan.scenario, judged.plan.to_json()


def _line(judged: Judged) -> str:
    runs = {"starved": judged.num_starved, "unreached": judged.num_unreached}
    told = {"outcome": judged.outcome} | {name: count for name, count in runs.items() if count}
    body = json.loads(judged.plan.to_json()) | told
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def _found(judged: Judged) -> dict[str, Any]:
    return {
        "plan": json.loads(judged.plan.to_json()),
        "is_reached": judged.is_reached,
        "found": [str(finding)[:WORDS] for finding in judged.findings],
    }


def head(seed: int) -> dict[str, Any]:
    """Of what code, when and on what kind of machine: nothing of the machine's own names.

    Ask at the begin: the code that runs is that of then.
    """
    return {
        "commit": _commit(),
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
    }


def write(path: Path, body: dict[str, Any]) -> None:
    """Write a result file: sorted, so that two of them compare."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")


def write_plans(path: Path, tally: Tally) -> None:
    """Write a campaign's plans beside its result file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in tally.lines()))


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()

    # What an earlier campaign has just written is no change of what is tried.
    tried = ("--", ".", ":!docs/testing", ":!docs/testing.md")
    changed = " and uncommitted changes" if git("status", "--porcelain", "-uno", *tried) else ""
    return (git("rev-parse", "HEAD") or "no commit") + changed
