"""Bodies as the API server returns them, and a cluster that plays a given course of events."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fairlead_cli import target

MOMENT = "2026-01-01T00:00:00Z"


def condition(type_: str, status: str = "True", reason: str = "Reason", message: str = "") -> dict:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": MOMENT,
    }


@pytest.fixture
def make_condition():
    return condition


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """A FineTuneJob with the given status."""

    def make(version: int = 1, **status: Any) -> dict[str, Any]:
        return {
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "units", "namespace": "demo", "resourceVersion": str(version)},
            "spec": {
                "model": {"uri": "pvc://models/base"},
                "datasets": [{"name": "rows", "inline": '{"text": "a"}'}],
                "trainer": {"type": "SFT"},
                "storage": {"claimName": "models"},
            },
            "status": status,
        }

    return make


@pytest.fixture
def service() -> Callable[..., dict[str, Any]]:
    """A ModelService with the given status."""

    def make(generation: int = 1, spec: dict[str, Any] | None = None, **status: Any) -> dict:
        return {
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {
                "name": "units",
                "namespace": "demo",
                "resourceVersion": "1",
                "generation": generation,
            },
            "spec": {"model": {"uri": "pvc://models/base"}, **(spec or {})},
            "status": {"observedGeneration": 1, **status},
        }

    return make


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
