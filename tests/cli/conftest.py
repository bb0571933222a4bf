"""A cluster that plays a given course of events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fairlead_cli import target


@dataclass
class Course:
    """A cluster whose answers are given in order: a body, a list of events, or an error."""

    answers: list[Any]
    found_pods: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    """Reads and watches so far."""
    now: float = 0.0
    """Moves on by the length of each watch."""

    def clock(self) -> float:
        return self.now

    def get(self, _of: target.Target) -> dict[str, Any]:
        answer = self._next()
        assert isinstance(answer, dict)
        return answer

    def follow(
        self, _of: target.Target, _version: str, seconds: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from self._next()
        self.now += seconds

    def pods(self, _of: target.Target) -> list[dict[str, Any]]:
        return self.found_pods

    def last_lines(self, _of: target.Target, pod: str, container: str, count: int) -> str:
        return f"{count} lines of {container}\n"

    def _next(self) -> Any:
        answer = self.answers[self.calls]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def course() -> Callable[..., Course]:
    return lambda *answers, pods=(): Course(list(answers), list(pods))
