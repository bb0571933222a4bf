"""Whether a number is within bounds, and has been for long enough; pure."""

import dataclasses
import math
from collections.abc import Callable
from typing import Final

from fairlead_airflow.fields import InvalidField
from fairlead_api import outcome

Number = float | str | None
"""As a DAG gives it: a template makes text of numbers."""
_SIGNS: Final = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}
_NONE: Final = ("", "None")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What a number must be; at least one bound is there."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a number is within; what is no number never is."""
        within = (
            self.above is None or value > self.above,
            self.at_least is None or value >= self.at_least,
            self.below is None or value < self.below,
            self.at_most is None or value <= self.at_most,
        )
        return all(within) and not math.isnan(value)

    def __str__(self) -> str:
        given = {name: getattr(self, name) for name in _SIGNS}
        return " and ".join(f"{_SIGNS[name]} {b:g}" for name, b in given.items() if b is not None)


def parse(**given: Number) -> Bounds:
    """Bounds as a DAG gives them, by the names of their fields.

    Raises:
        InvalidField: Where one is no number, there is none, or nothing lies within them.
    """
    bounds = Bounds(**{name: _number(name, value) for name, value in given.items()})
    if not str(bounds):
        raise InvalidField(f"{' or '.join(given)}: one of them must be given")
    lowest = max(b for b in (bounds.above, bounds.at_least, -math.inf) if b is not None)
    highest = min(b for b in (bounds.below, bounds.at_most, math.inf) if b is not None)
    is_open = lowest == bounds.above or highest == bounds.below
    if lowest > highest or (lowest == highest and is_open):
        raise InvalidField(f"{', '.join(given)}: no number is {bounds}")
    return bounds


def _number(name: str, given: Number) -> float | None:
    if given is None or given in _NONE:
        return None
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidField(f"{name}: must be a number, it is {given!r}")
    return number


class Hold:
    """Takes a number for reached only once it has been within bounds for some seconds.

    A look that gave no number begins the seconds anew: nobody knows what it was.
    """

    def __init__(self, bounds: Bounds, seconds: float, clock: Callable[[], float]) -> None:
        self._bounds, self._seconds, self._clock = bounds, seconds, clock
        self._since: float | None = None

    def judge(self, value: float) -> outcome.Waiting | outcome.Succeeded:
        """What a number means, seen now."""
        if not self._bounds.holds(value):
            self._since = None
            return outcome.Waiting(f"{value:g}, must be {self._bounds}")
        if self._since is None:
            self._since = self._clock()
        held = self._clock() - self._since
        if held >= self._seconds:
            return outcome.Succeeded(f"{value:g}, which is {self._bounds}{self._span(held)}")
        return outcome.Waiting(
            f"{value:g}, which is {self._bounds}; must be for {self._seconds:g} s"
        )

    def unknown(self, why: str) -> outcome.Waiting:
        """What it means that there is no number now."""
        self._since = None
        return outcome.Waiting(why)

    def left(self) -> float:
        """Seconds until it has held; endless while it doesn't."""
        if self._since is None:
            return math.inf
        return max(0.0, self._since + self._seconds - self._clock())

    def _span(self, held: float) -> str:
        return f", for {held:.0f} s" if self._seconds else ""
