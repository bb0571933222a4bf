"""The parts of the demo in a row: what is done now, how long it usually takes, how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fairlead_cluster import progress


@dataclass
class Parts:
    """The clock of one run."""

    total: int
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each part took, in order."""

    @contextmanager
    def part(
        self, name: str, usual_seconds: float, first_seconds: float | None = None
    ) -> Iterator[None]:
        """Announce a part and say in the end how long it took.

        Args:
            name: The part in words.
            usual_seconds: How long it usually takes on two cores.
            first_seconds: The same when nothing is built yet, where that differs.
        """
        number = f"[{len(self.seconds) + 1} of {self.total}]"
        first = ""
        if first_seconds is not None:
            first = f", the first time {progress.duration(first_seconds)}"
        progress.say(f"\n{number} {name} (usually {progress.duration(usual_seconds)}{first})")
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
        progress.say(f"{number} done in {progress.duration(self.seconds[name])}")
