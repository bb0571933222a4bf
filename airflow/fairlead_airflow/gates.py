"""Bounds that a model's scores must keep to, and what follows when they do or don't; pure."""

import math
import operator as comparing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from fairlead_airflow.scores import RANGES, Metric

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": comparing.ge,
    ">": comparing.gt,
    "<=": comparing.le,
    "<": comparing.lt,
}
_FIELDS: Final = ("metric", "operator", "threshold")


class InvalidGate(ValueError):
    """A gate that can't be judged; names the field."""


class MissingScore(ValueError):
    """A gate's score isn't there."""


@dataclass(frozen=True)
class Gate:
    """A bound for one score."""

    metric: Metric
    operator: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.threshold:g}"

    def passes(self, value: float) -> bool:
        """Whether a score keeps to it; what is no number never does."""
        return COMPARISONS[self.operator](value, self.threshold)


class Verdict(NamedTuple):
    """What came of one gate."""

    gate: Gate
    value: float
    passed: bool


class Branch(StrEnum):
    """What becomes of an evaluated model."""

    PROMOTE = "promote"
    STAGE = "stage"
    RETRAIN = "retrain"
    NOTIFY = "notify"


@dataclass(frozen=True)
class Decision:
    """A branch, and the reason in words."""

    branch: Branch
    why: str


def parse(given: object, field: str = "gates") -> tuple[Gate, ...]:
    """Gates of mappings ``{"metric": …, "operator": …, "threshold": …}``.

    Args:
        given: The list of them.
        field: What messages call it.

    Raises:
        InvalidGate: Naming the field that is wrong, as ``gates[0].threshold``.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise InvalidGate(f"{field}: must be a list of gates")
    return tuple(_gate(each, f"{field}[{index}]") for index, each in enumerate(given))


def _gate(given: object, where: str) -> Gate:
    if isinstance(given, Gate):
        return given
    if not isinstance(given, Mapping):
        raise InvalidGate(f"{where}: must be an object with {', '.join(_FIELDS)}")
    if unknown := sorted(str(key) for key in given if key not in _FIELDS):
        raise InvalidGate(f"{where}.{unknown[0]}: no such field; they are {', '.join(_FIELDS)}")
    for name in _FIELDS:
        if given.get(name) is None:
            raise InvalidGate(f"{where}.{name}: is missing")
    if given["metric"] not in tuple(Metric):
        raise InvalidGate(f"{where}.metric: {given['metric']!r} is none of {', '.join(Metric)}")
    if given["operator"] not in tuple(COMPARISONS):
        known = " ".join(COMPARISONS)
        raise InvalidGate(f"{where}.operator: {given['operator']!r} is none of {known}")
    metric = Metric(given["metric"])
    return Gate(metric, given["operator"], _threshold(given["threshold"], metric, where))


def _threshold(given: object, metric: Metric, where: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise InvalidGate(f"{where}.threshold: {given!r} is not a number")
    if given not in RANGES[metric]:  # 90 for 0.9: no model would ever pass, or every one would
        raise InvalidGate(f"{where}.threshold: {given:g}, but {metric} is {RANGES[metric]}")
    return float(given)


def check_available(gates: Iterable[Gate], metrics: Iterable[str], field: str = "gates") -> None:
    """Whether all scores will be there: asked before any compute is spent.

    Raises:
        InvalidGate: Naming the gate on a score that nobody will measure.
    """
    measured = tuple(metrics)
    for index, gate in enumerate(gates):
        if gate.metric not in measured:
            raise InvalidGate(
                f"{field}[{index}].metric: {gate.metric} will not be measured, only"
                f" {', '.join(measured) or 'nothing'}"
            )


def verdict(scores: Mapping[str, Any], gates: Iterable[Gate]) -> list[Verdict]:
    """What comes of each gate.

    Raises:
        MissingScore: When a gate's score isn't there.
    """
    found = []
    for gate in gates:
        value = scores.get(gate.metric)
        if value is None:
            there = ", ".join(sorted(scores)) or "none"
            raise MissingScore(f"{gate}: there is no such score; there are {there}")
        found.append(Verdict(gate, float(value), gate.passes(float(value))))
    return found


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts for a log, a line each."""
    width = max((len(str(each.gate)) for each in verdicts), default=0)
    return "\n".join(
        f"{'passed' if each.passed else 'FAILED'}  {str(each.gate):<{width}}  is {each.value:.4g}"
        for each in verdicts
    )


def decide(
    scores: Mapping[str, Any],
    production_gates: Sequence[Gate],
    staging_gates: Sequence[Gate],
    retrains_left: int,
) -> Decision:
    """What becomes of a model with these scores.

    Without gates for a place nothing goes there: no bound is not the same as a bound kept.

    Raises:
        MissingScore: When a gate's score isn't there.
    """
    production, reason = _judge(scores, production_gates, "production")
    if production:
        return Decision(Branch.PROMOTE, reason)
    staging, more = _judge(scores, staging_gates, "staging")
    why = f"{reason}; {more}"
    if staging:
        return Decision(Branch.STAGE, why)
    if retrains_left > 0:
        return Decision(Branch.RETRAIN, f"{why}; it may be trained again ({retrains_left} left)")
    return Decision(Branch.NOTIFY, f"{why}; it may not be trained again")


def _judge(scores: Mapping[str, Any], gates: Sequence[Gate], place: str) -> tuple[bool, str]:
    verdicts = verdict(scores, gates)
    if not verdicts:
        return False, f"there is no gate for {place}"
    failed = [f"{each.gate} (it is {each.value:.4g})" for each in verdicts if not each.passed]
    if failed:
        return False, f"not fit for {place}: {', '.join(failed)}"
    kept = ", ".join(f"{each.gate} (it is {each.value:.4g})" for each in verdicts)
    return True, f"fit for {place}: {kept}"
