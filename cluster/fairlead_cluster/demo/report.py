"""What the demo prints in the end: the table of answers, the scores and the times; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead_cluster import progress

_WIDEST = 44


@dataclass(frozen=True)
class Answered:
    """One held-out question with both models' answers."""

    question: str
    right: str
    base: str
    tuned: str


def table(answered: Sequence[Answered]) -> list[str]:
    """The answers in columns; a tick marks an exact one."""
    rows = [("question", "right answer", "base model", "fine-tuned")]
    rows += [
        (each.question, each.right, _marked(each.base, each), _marked(each.tuned, each))
        for each in answered
    ]
    cut = [tuple(_cut(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in cut) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cut
    ]
    rule = "  ".join("-" * width for width in widths)
    return [line.rstrip() for line in (lines[0], rule, *lines[1:])]


def _marked(answer: str, of: Answered) -> str:
    return f"{answer} ✓" if answer == of.right else answer or "(nothing)"


def _cut(cell: str) -> str:
    flat = cell.replace("\n", "⏎")
    return flat if len(flat) <= _WIDEST else flat[: _WIDEST - 1] + "…"


def score(answers: Sequence[str], right: Sequence[str]) -> str:
    """Exact matches in words."""
    exact = sum(answer == expected for answer, expected in zip(answers, right, strict=True))
    return f"{exact} of {len(right)} exact ({exact / len(right):.0%})"


def times(seconds: Mapping[str, float]) -> list[str]:
    """How long each part took, and all of them."""
    width = max(map(len, seconds))
    lines = [
        f"  {name.ljust(width)}  {progress.duration(spent)}" for name, spent in seconds.items()
    ]
    return [*lines, f"  {'all'.ljust(width)}  {progress.duration(sum(seconds.values()))}"]
