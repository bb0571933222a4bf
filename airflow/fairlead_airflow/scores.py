"""What is measured of a model's answers, and how one figure comes of many; pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_HINTS: Final = {"judge": ": give a judge", "human": ": it takes a task of its own"}
_MAX_LOSS: Final = 700.0
"""e to the power of a little more is no number any more."""


class Metric(StrEnum):
    """The scores by the names that gates use."""

    EXACT_MATCH = "exact_match"
    BLEU = "bleu"
    PERPLEXITY = "perplexity"
    JUDGE = "judge"
    HUMAN = "human"


ASKED: Final = (Metric.EXACT_MATCH, Metric.PERPLEXITY, Metric.BLEU)
"""What comes of asking the model alone; the others take a judge or a human."""
OF_ANSWERS: Final = frozenset({Metric.EXACT_MATCH, Metric.BLEU, Metric.JUDGE})
"""What the model must write an answer for."""


class InvalidMetric(ValueError):
    """A score that can't be had."""


class NothingScored(ValueError):
    """There is nothing that a score could be made of."""


class InvalidGrade(ValueError):
    """A human's answer that is no score."""


@dataclass(frozen=True)
class Range:
    """Where a score may lie."""

    least: float
    most: float

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return (
            f"{self.least:g} to {self.most:g}"
            if self.most < math.inf
            else (f"{self.least:g} and more")
        )


RANGES: Final = {
    Metric.EXACT_MATCH: Range(0, 1),
    Metric.BLEU: Range(0, 100),
    Metric.PERPLEXITY: Range(1, math.inf),
    Metric.JUDGE: Range(0, 1),
    Metric.HUMAN: Range(0, 1),
}


def check(metrics: object, has_judge: bool = False) -> tuple[Metric, ...]:
    """The scores that are asked for by name; that of a judge is there when the judge is.

    Raises:
        InvalidMetric: When asking the model doesn't give one of them.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise InvalidMetric(f"metrics: {metrics!r} is not a list of names")
    judged = (Metric.JUDGE,) if has_judge else ()
    chosen = []
    for index, name in enumerate(metrics):
        if name not in (*ASKED, *judged):
            why = _HINTS.get(str(name), f"; the metrics are {', '.join(ASKED)}")
            raise InvalidMetric(f"metrics[{index}]: {name!r} can't be asked for{why}")
        chosen.append(Metric(name))
    if not (chosen or judged):
        raise InvalidMetric("metrics: is empty, and there is no judge: nothing would be measured")
    return tuple(dict.fromkeys([*chosen, *judged]))


def exact_match(answer: str, expected: str) -> float:
    """Whether it is the expected text, blanks around it apart."""
    return float(answer.strip() == expected.strip())


def mean(values: Iterable[float]) -> float:
    """The mean.

    Raises:
        NothingScored: Of nothing.
    """
    listed = list(values)
    if not listed:
        raise NothingScored("nothing was scored")
    return math.fsum(listed) / len(listed)


def perplexity(logprobs: Iterable[float]) -> float:
    """Perplexity of tokens by the natural logarithms of their probabilities, 1 or more.

    Raises:
        NothingScored: Of no token.
    """
    # Rounding may take a certain token a hair above probability 1.
    loss = max(0.0, -mean(logprobs))
    return math.exp(min(loss, _MAX_LOSS))


def of_human(
    answer: Mapping[str, Any], options: Mapping[str, float], field: str = "score"
) -> float:
    """The score that a human gave in a Human-in-the-loop task.

    Args:
        answer: What Airflow's HITLOperator hands on.
        options: What each of its options is worth, from 0 to 1.
        field: Name of the number in its form; where it is filled in, it counts and not the option.

    Raises:
        InvalidGrade: When it is neither a number from 0 to 1 nor one of the options.
    """
    given = (answer.get("params_input") or {}).get(field)
    if given is not None:
        return _grade(given, f"params_input.{field}")
    chosen = answer.get("chosen_options") or []
    if len(chosen) != 1:
        raise InvalidGrade(f"chosen_options: {len(chosen)} were chosen, a score takes one")
    if chosen[0] not in options:
        raise InvalidGrade(
            f"params_input.{field}: is not filled in, and the option {chosen[0]!r} has no worth;"
            f" these have: {', '.join(options) or 'none'}"
        )
    return _grade(options[chosen[0]], f"options[{chosen[0]!r}]")


def _grade(given: object, where: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidGrade(f"{where}: {given!r} is not a number")
    if given not in RANGES[Metric.HUMAN]:
        raise InvalidGrade(f"{where}: {given!r} is not from 0 to 1")
    return float(given)
