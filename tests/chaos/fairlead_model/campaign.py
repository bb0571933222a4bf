"""One scenario of a campaign, searched and counted; runs in a process of its own where asked to."""

import gc
import time
from typing import Any

from fairlead_model import trace
from fairlead_model.explore import Explored, explore
from fairlead_model.planted import BUGS
from fairlead_model.scenarios import SCENARIOS
from fairlead_model.trace import Recorded


def shares(names: list[str], states: int) -> dict[str, int]:
    """How many states each scenario is to find, in the proportions of the sample."""
    whole = sum(SCENARIOS[name].sample for name in names)
    return {name: -(-states * SCENARIOS[name].sample // whole) for name in names}


def search(name: str, states: int, seed: int | None, bug: str = "") -> dict[str, Any]:
    """Search one scenario; returns its counts, with its violation as a trace."""
    scenario, begin = SCENARIOS[name], time.monotonic()
    model = scenario.model(BUGS[bug] if bug else None)

    def tell(found: Explored) -> None:
        rate = found.states / (time.monotonic() - begin)
        print(f"{name}: {found.states:,} states, depth {found.depth}, {rate:,.0f}/s", flush=True)

    gc.disable()  # a search makes millions of tuples and no circles: a sixth of its time
    try:
        found = explore(model, scenario.budget, states, seed, tell)
    finally:
        gc.enable()
    counts: dict[str, Any] = {
        "states": found.states,
        "transitions": found.transitions,
        "depth": found.depth,
        "longest_calm": found.longest_calm,
        "rests": found.rests,
        "plans": model.domain.num_plans,
        "is_complete": found.is_complete,
        "seconds": round(time.monotonic() - begin, 1),
    }
    if found.violation is not None:
        shortest = trace.shrink(model, found.violation)
        counts["violation"] = Recorded(name, shortest, bug).as_object()
    return counts
