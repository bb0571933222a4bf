"""Judges values by a hand-written specification: the vocabulary that ``fields`` is written in.

Independent of the product: it imports nothing of it, reads no schema and uses no regular
expression, so a wrong bound or pattern in the pydantic models, or in what ``crd`` makes of them,
can't be wrong here too. It knows how an API server reads JSON: a null of an object's member is as
if the member were absent. Numbers are as kubectl sends them, which writes 2 for 2.0.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from fairlead_admission.values import Field, Text

REQUIRED: Final[Any] = object()
"""Instead of a default: the member must be there."""
UNSET: Final[Any] = object()
"""Instead of a default: the member may be absent, and then stays so."""


@dataclass(frozen=True)
class Many:
    """A list; with ``key``, no two items may have the same value of that member."""

    of: Field
    least: int
    most: int
    key: str | None = None

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """No list, too few, too many, a bad item, or two of one key."""
        if not isinstance(value, list):
            yield where
            return
        if not self.least <= len(value) <= self.most:
            yield where
        seen: set[Any] = set()
        for index, item in enumerate(value):
            yield from self.of.faults(item, f"{where}[{index}]")
            if self.key and isinstance(item, dict) and isinstance(item.get(self.key), str):
                if item[self.key] in seen:
                    yield f"{where}[{index}]"
                seen.add(item[self.key])

    def draw(self, rng: random.Random) -> list[Any]:
        """A few, seldom as many as may be."""
        count = self.most if rng.random() < 0.05 else rng.randint(self.least, self.least + 2)
        items = [self.of.draw(rng) for _ in range(count)]
        if self.key:
            items = [{**item, self.key: f"d{index}"} for index, item in enumerate(items)]
        return items

    def near(self) -> list[Any]:
        """As many as may be and one more, none, and what is no list."""
        rng = random.Random(self.most)
        counts = sorted({0, self.least, self.most, self.most + 1})
        full = [Many(self.of, count, count, self.key).draw(rng) for count in counts]
        return [*full, {}, "", [None], self.of.draw(rng)]


@dataclass(frozen=True)
class Table:
    """Values by name."""

    of: Field
    most: int
    key: Text = field(default_factory=lambda: Text(0, 2**20))
    keys: tuple[str, ...] = ("a", "b", "c")
    """Names to draw from."""

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """No object, too many members, a bad name or a bad value."""
        if not isinstance(value, dict):
            yield where
            return
        plain = without_nulls(value)
        if len(plain) > self.most:
            yield where
        for key, item in plain.items():
            if [*self.key.faults(key, where)]:
                yield where
            yield from self.of.faults(item, f"{where}.{key}")

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """Up to two."""
        chosen = rng.sample(self.keys, rng.randint(0, min(2, len(self.keys))))
        return {key: self.of.draw(rng) for key in chosen}

    def near(self) -> list[Any]:
        """As many as may be and one more, odd names, and what is no object."""
        rng = random.Random(self.most)
        full = [
            {f"{self.keys[0]}{number}": self.of.draw(rng) for number in range(count)}
            for count in (self.most, self.most + 1)
        ]
        names = ["x" * 64, "x" * 65, "", "A b", "a/b", "a", "/", "é"]
        return [*full, *({name: self.of.draw(rng)} for name in names), [], "", {"a": None}]


Rule = Callable[[Mapping[str, Any], str], Iterator[str]]
"""Tells the paths of what is wrong between the members of a part; its defaults are filled in."""


@dataclass(frozen=True)
class Part:
    """An object of known members."""

    members: Mapping[str, tuple[Field, Any]]
    """Each with its default, or REQUIRED, or UNSET."""
    rules: tuple[Rule, ...] = ()
    presence: ClassVar[float] = 0.35
    """Share of the members that need not be there and are drawn."""

    def faults(self, value: Any, where: str) -> Iterator[str]:
        """No object, members missing, unknown or bad; else what the rules find."""
        if not isinstance(value, dict):
            yield where
            return
        yield from (f"{where}.{key}" for key in value.keys() - self.members.keys())
        plain = without_nulls(value)
        found: list[str] = []
        for key, (member, default) in self.members.items():
            if key in plain:
                found += member.faults(plain[key], f"{where}.{key}")
            elif default is REQUIRED:
                found.append(f"{where}.{key}")
        yield from found
        if not found:
            for rule in self.rules:
                yield from rule(self.filled(plain), where)

    def filled(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The part as the API server stores it: nulls gone, defaults there, also below."""
        plain = without_nulls(value)
        out = {}
        for key, (member, default) in self.members.items():
            if key not in plain and default in (REQUIRED, UNSET):
                continue
            out[key] = _filled(member, plain.get(key, default))
        return out

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """What is required, some of the rest; drawn again until its rules hold."""
        for _ in range(1000):
            drawn = {
                key: member.draw(rng)
                for key, (member, default) in self.members.items()
                if default is REQUIRED or rng.random() < self.presence
            }
            if not [*self.faults(drawn, "")]:
                return drawn
        raise AssertionError("the rules of a part exclude almost everything that was drawn")

    def near(self) -> list[Any]:
        """What is no object, and empty ones."""
        return [{}, [], "", 0]


def _filled(member: Field, value: Any) -> Any:
    if isinstance(member, Part):
        return member.filled(value)
    if isinstance(member, Many):
        return [_filled(member.of, item) for item in value]
    return without_nulls(value) if isinstance(member, Table) else value


def without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its members that are null."""
    return {key: item for key, item in value.items() if item is not None}
