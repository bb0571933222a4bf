"""Places of a manifest that hold one value: their bounds, and values to try there.

Part of the judge: as independent of the product as the rest of it (see ``judge``).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fairlead_admission import forms


class Field(Protocol):
    """One place of a manifest: what it may hold."""

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """Paths of everything wrong with a value, the value's own or one below it."""
        ...

    def draw(self, rng: random.Random) -> Any:
        """Some value without a fault, often one at a bound."""
        ...

    def near(self) -> list[Any]:
        """Values close to what divides the good from the bad, on both sides."""
        ...


@dataclass(frozen=True)
class Whole:
    """A whole number from ``least`` to ``most``."""

    least: int
    most: int

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """Not a whole number, or out of bounds."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not self.least <= value <= self.most:
            yield where

    def draw(self, rng: random.Random) -> int:
        """A bound, or anything between."""
        some = min(self.most, self.least + rng.randint(0, 20))
        return rng.choice([self.least, self.most, rng.randint(self.least, self.most), some])

    def near(self) -> list[Any]:
        """Both bounds and their neighbours, fractions and spellings."""
        around = [bound + step for bound in (self.least, self.most) for step in (-1, 0, 1)]
        odd = [self.least + 0.5, str(self.least), -self.most, 10**20, -(2**63)]
        return [*around, *odd]


@dataclass(frozen=True)
class Real:
    """A number between two bounds; an open one is not reached itself."""

    least: float
    most: float
    is_open_below: bool = False
    is_open_above: bool = False

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """Not a number, or out of bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield where
            return
        is_low = value <= self.least if self.is_open_below else value < self.least
        is_high = value >= self.most if self.is_open_above else value > self.most
        if is_low or is_high:
            yield where

    def draw(self, rng: random.Random) -> float:
        """A closed bound, or anything between."""
        bounds = [self.least] * (not self.is_open_below) + [self.most] * (not self.is_open_above)
        span = self.most - self.least
        return rng.choice([*bounds, *(self.least + span * part for part in (1e-6, 0.25, 0.5, 0.9))])

    def near(self) -> list[Any]:
        """Both bounds, a little to each side of them, and other spellings."""
        step = (self.most - self.least) / 2**20
        around = [bound + way for bound in (self.least, self.most) for way in (-step, 0, step)]
        return [*around, -self.most, str(self.most), 1e20]


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """Neither of the two."""
        if not isinstance(value, bool):
            yield where

    def draw(self, rng: random.Random) -> bool:
        """Either."""
        return rng.random() < 0.5

    def near(self) -> list[Any]:
        """Both, and how YAML and people spell them."""
        return [True, False, "true", "yes", 0, 1, ""]


@dataclass(frozen=True)
class Word:
    """One of a few words."""

    choices: tuple[str, ...]

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """None of them."""
        if not isinstance(value, str) or value not in self.choices:
            yield where

    def draw(self, rng: random.Random) -> str:
        """Any of them."""
        return rng.choice(self.choices)

    def near(self) -> list[Any]:
        """All of them, and each spelled otherwise."""
        first = self.choices[0]
        return [*self.choices, first.lower(), first.upper(), f"{first} ", first[:-1], "", 0]


@dataclass(frozen=True)
class Text:
    """Text of ``least`` to ``most`` characters and of a form."""

    least: int
    most: int
    form: forms.Form = forms.ANY

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """No text, too short, too long or of another form."""
        if (
            not isinstance(value, str)
            or not self.least <= len(value) <= self.most
            or not self.form.is_of(value)
        ):
            yield where

    def draw(self, rng: random.Random) -> str:
        """Of least, greatest or some length."""
        some = rng.randint(self.least, min(self.most, self.least + 30))
        lengths = [self.least, some, some, some, some] + [self.most] * (self.most < 2000)
        for _ in range(100):
            text = self.form.draw(rng, rng.choice(lengths))
            if not [*self.faults(text, "")]:
                return text
        raise AssertionError(f"nothing of this form and length was found: {self}")

    def near(self) -> list[Any]:
        """Lengths about the bounds, and what breaks a form."""
        rng = random.Random(self.most)
        lengths = {
            self.least - 1,
            self.least,
            self.least + 1,
            self.most - 1,
            self.most,
            self.most + 1,
        }
        formed = [self.form.draw(rng, length) for length in sorted(lengths) if length > 0]
        base = self.form.draw(rng, max(self.least, min(self.most, 12)))
        odd = [
            base.upper(),
            f"{base}\n",
            f" {base}",
            f"{base}.",
            f".{base}",
            f"{base}é",
            f"-{base}",
        ]
        return [*formed, *odd, f"{base}/../x", f"{base}//x", f"{base}/", "", "a", 7, True, base * 2]


@dataclass(frozen=True)
class Amount:
    """An amount of compute as Kubernetes writes it, not below zero."""

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """No quantity."""
        if forms.amount(value) is None:
            yield where

    def draw(self, rng: random.Random) -> Any:
        """A number or one with a suffix."""
        number = rng.choice([0, 1, 2, 3, 8, 64])
        suffix = rng.choice(["", "m", "k", "Ki", "Mi", "Gi", "G", "e3"])
        return rng.choice([number, f"{number}{suffix}", f"{number}.5{suffix}"])

    def near(self) -> list[Any]:
        """What is a quantity, and what only looks like one."""
        good = [0, 1, "0", "500m", "1.5", ".5", "1.", "16Gi", "1e3", "1E+3", "2e-3", "7n", "3Ei"]
        bad = [-1, "-1", "+1", "two", "", "8GB", "1 Gi", "1ki", "1mi", "Gi", ".", "1.2.3", "1e"]
        odd = [1.5, True, "1\n", 2**63 - 1, 2**63, "9" * 32, "9" * 33, "1e99999"]
        return [*good, *bad, *odd]


@dataclass(frozen=True)
class Anything:
    """A value that nobody looks into."""

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """None ever."""
        yield from ()

    def draw(self, rng: random.Random) -> Any:
        """Something of some depth."""
        return rng.choice(
            [1, 0.5, True, "auto", [1, 2], {"x": {"y": None}}, {"overlap_comm": True}]
        )

    def near(self) -> list[Any]:
        """Every type."""
        return [1, "", [], {}, False, [None]]
