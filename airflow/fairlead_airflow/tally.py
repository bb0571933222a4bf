"""How far a batch is, and how it is told; pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Tally:
    """How far a run is."""

    num_prompts: int = 0
    num_answers: int = 0
    """Those of earlier runs included."""
    num_resumed: int = 0
    """Those of earlier runs."""
    num_errors: int = 0
    last_error: str = ""
    num_waits: int = 0
    """Requests that were to be sent again, since the service was busy or away."""


class Progress:
    """Says how far a run is and when it may end."""

    def __init__(
        self, tally: Tally, say: Callable[..., object], clock: Callable[[], float]
    ) -> None:
        self._tally, self._say, self._clock = tally, say, clock
        self._began = clock()

    def tell(self) -> None:
        """One line."""
        tally = self._tally
        num_done = tally.num_answers + tally.num_errors
        rate = (num_done - tally.num_resumed) / max(self._clock() - self._began, 1e-9)
        left = tally.num_prompts - num_done
        eta = f"{left / rate:.0f} s left" if rate > 0 else "no answer yet"
        waits = f", {tally.num_waits} times told to wait" if tally.num_waits else ""
        self._say(
            "%d of %d prompts answered, %d refused; %.1f a second, %s%s",
            tally.num_answers, tally.num_prompts, tally.num_errors, rate, eta if left else "done",
            waits,
        )  # fmt: skip
