"""Explores a scenario's states, and judges each: is it harmless, and does it come to rest?

Every step out of a state is tried once; a state is known by all its fields but the number of
disturbances that are left. Without a seed the search is breadth first, so the first trace to a
violation has the fewest events; with one, the next state is drawn from all that wait, so that a
bounded search reaches deep states too.

From every new state the disturbances are also stopped: what is broken outside is mended, and
fair steps follow, once with an operator that hurries and once with one that comes last. They must
reach a state in which nobody has anything to do, the planner included, now and ever after.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from fairlead_model.domain import Domain
from fairlead_model.failures import error_of
from fairlead_model.objects import find
from fairlead_model.operator_model import Operator, pass_time
from fairlead_model.state import State, Step

Trace = tuple[tuple[str, ...], ...]
HEAL: Final = ("heal",)
TIME: Final = ("time",)
ORDERS: Final = ("hurried", "late")
"""How the operator's steps lie between the others' when all is calm."""
MOST_CALM_STEPS: Final = 300
"""More steps than any way to rest has; what takes more never ends."""


@dataclass(frozen=True)
class Violation:
    """A property that broke, and the events that led there."""

    harm: str
    trace: Trace
    calm: str = ""
    """In which order of calm steps it never came to rest; empty: the last event did harm."""


class Model:
    """One kind of resource, one operator: which steps lead out of a state."""

    def __init__(
        self,
        domain: Domain,
        lagging: frozenset[str],
        operator: type[Operator] = Operator,
        has_troubles: bool = True,
    ) -> None:
        self.domain = domain
        self.operator = operator(domain, lagging)
        self._has_troubles = has_troubles
        """Whether the operator may die and its calls may fail."""

    def steps(self, state: State) -> Iterator[Step]:
        """Every event that may happen next."""
        found: list[Iterator[Step]] = [
            self.operator.deliveries(state),
            self.operator.work(state),
            self.operator.retries(state),
            self.domain.progress(state),
            self._time(state),
        ]
        if state.left > 0:
            if self._has_troubles:
                found.append(self.operator.troubles(state))
            found.append(self.domain.disturbances(state))
        for step in chain(*found):
            yield step._replace(state=self.operator.settled(step.state))

    def calm_step(self, state: State, order: str) -> Step | None:
        """The next event when nothing is disturbed; None at rest."""
        healed = self.domain.healed(state)
        if healed != state:
            return Step(HEAL, self.operator.settled(healed))
        first, then = self.operator.work(state), self.domain.progress(state)
        if order == "late":
            first, then = then, first
        found = chain(self.operator.deliveries(state), first, then, self.operator.retries(state))
        step = next(found, None)
        if step is None and state.timer:
            step = Step(TIME, pass_time(self.domain, state))
        return step and step._replace(state=self.operator.settled(step.state))

    def judge_rest(self, state: State) -> str:
        """What is wrong with a state in which nobody moves; empty: nothing."""
        later = pass_time(self.domain, state._replace(dirty=False))
        for when, one in (("now", state), ("later", later)):
            resource = find(one.cache, self.domain.kind, self.domain.name)
            if resource is None or resource.manifest["metadata"].get("deletionTimestamp"):
                continue
            planned = self.domain.plan(one.cache, one.facts)
            if planned.writes:
                return f"at rest, but {when} the plan would {_words(planned.writes)}"
            status = planned.status.manifest["status"] if planned.status else None
            if status is not None and status != resource.manifest.get("status", {}):
                return f"at rest, but {when} the plan would write {_changes(resource, status)}"
            if error_of(resource):
                return f"at rest with an error: {error_of(resource)}"
        return self.domain.judge_rest(state)

    def _time(self, state: State) -> Iterator[Step]:
        later = pass_time(self.domain, state)
        if later != state:
            yield Step(TIME, later)


def _words(writes: Any) -> str:
    return ", ".join(f"{write.verb} {write.body.kind} {write.body.name}" for write in writes)


def _changes(resource: Any, status: dict[str, Any]) -> dict[str, Any]:
    stands = resource.manifest.get("status", {})
    return {key: value for key, value in status.items() if stands.get(key) != value}


@dataclass
class Explored:
    """What a search has seen so far."""

    states: int = 0
    """Different states reached, however many disturbances were left in them."""
    transitions: int = 0
    """Steps tried."""
    depth: int = 0
    """Most events on the way to a state, as found."""
    longest_calm: int = 0
    """Most steps from a state to rest."""
    rests: int = 0
    """Different states of rest."""
    is_complete: bool = False
    """Whether no state was left to look at."""
    violation: Violation | None = None


@dataclass
class _Search:
    model: Model
    came_from: dict[State, tuple[State | None, tuple[str, ...], int]] = field(default_factory=dict)
    """The state before, the event and the number of events, by state (without ``left``)."""
    left: dict[State, int] = field(default_factory=dict)
    """Most disturbances that were left in a state."""
    calm: dict[str, dict[State, int]] = field(
        default_factory=lambda: {order: {} for order in ORDERS}
    )
    """Steps to rest, by order and state."""
    found: Explored = field(default_factory=Explored)

    def reach(self, step: Step, before: State | None) -> State | None:
        """Note a step; the state is returned if it has to be looked at."""
        key = step.state._replace(left=0)
        if step.harm:
            self.found.violation = Violation(step.harm, (*self.trace(before), step.label))
            return None
        if self.left.get(key, -1) >= step.state.left:
            return None
        if key not in self.left:
            origin = before._replace(left=0) if before is not None else None
            depth = self.came_from[origin][2] + 1 if origin is not None else 0
            self.came_from[key] = (origin, step.label, depth)
            self.found.states += 1
            self.found.depth = max(self.found.depth, depth)
            self.found.violation = self.comes_to_rest(key)
        self.left[key] = step.state.left
        return step.state

    def trace(self, state: State | None) -> Trace:
        """The events that led to a state."""
        labels: list[tuple[str, ...]] = []
        at = None if state is None else state._replace(left=0)
        while at is not None:
            before, label, _ = self.came_from[at]
            if before is not None:
                labels.append(label)
            at = before
        return tuple(reversed(labels))

    def comes_to_rest(self, state: State) -> Violation | None:
        """Stop all disturbances, and follow fair steps to the end in each order."""
        for order in ORDERS:
            harm = settle(self.model, state, order, self.calm[order], self.found)
            if harm:
                return Violation(harm, self.trace(state), order)
        return None


def settle(model: Model, state: State, order: str, known: dict[State, int], found: Explored) -> str:
    """Follow fair steps until all is at rest; what is wrong on the way, or there, in words.

    ``known`` are states that came to rest before, with the steps that they took.
    """
    way: dict[State, None] = {}
    while state not in known:
        if state in way or len(way) > MOST_CALM_STEPS:
            return f"never comes to rest: {_round(model, state, order)}"
        way[state] = None
        step = model.calm_step(state, order)
        if step is None:
            harm = model.judge_rest(state)
            if harm:
                return harm
            found.rests += order == ORDERS[0]
            break
        if step.harm:
            return f"{step.harm} (all calm, by {' '.join(step.label)})"
        state = step.state
    steps = known.get(state, -1)
    for one in reversed(way):
        steps += 1
        known[one] = steps
    found.longest_calm = max(found.longest_calm, steps)
    return ""


def _round(model: Model, state: State, order: str) -> str:
    """The steps of a round that has no end."""
    labels = []
    at = state
    for _ in range(12):
        step = model.calm_step(at, order)
        if step is None:
            break
        labels.append(" ".join(step.label))
        at = step.state
        if at == state:
            break
    return "; ".join(labels)


def explore(
    model: Model,
    budget: int,
    most: int,
    seed: int | None = None,
    tell: Callable[[Explored], None] | None = None,
) -> Explored:
    """Search until ``most`` states are found, none is left, or a property breaks.

    Args:
        model: what is searched.
        budget: disturbances on one way.
        most: states.
        seed: None for breadth first.
        tell: called every ten thousand states.
    """
    search = _Search(model)
    frontier = _Frontier(None if seed is None else random.Random(seed))
    for step, before in _life(model, budget):
        state = search.reach(step, before)
        if search.found.violation is not None:
            return search.found
        if state is not None:
            frontier.add(state)
    while frontier.waiting and search.found.states < most:
        state = frontier.take()
        if search.left[state._replace(left=0)] > state.left:
            continue  # it is looked at with more disturbances left
        for step in model.steps(state):
            search.found.transitions += 1
            before_states = search.found.states
            after = search.reach(step, state)
            if search.found.violation is not None:
                return search.found
            if after is not None:
                frontier.add(after)
            if tell and search.found.states // 10_000 > before_states // 10_000:
                tell(search.found)
    search.found.is_complete = not frontier.waiting
    return search.found


class _Frontier:
    """States that wait to be looked at."""

    def __init__(self, draw: random.Random | None) -> None:
        self.waiting: deque[State] = deque()
        self._draw = draw

    def add(self, state: State) -> None:
        self.waiting.append(state)

    def take(self) -> State:
        if self._draw is None:
            return self.waiting.popleft()
        self.waiting.rotate(self._draw.randrange(min(64, len(self.waiting))))
        return self.waiting.pop()


def _life(model: Model, budget: int) -> Iterator[tuple[Step, State | None]]:
    """An undisturbed life, each state of which is a beginning: disturbances come at any age."""
    state = model.operator.settled(model.domain.start(budget))
    yield Step(("start",), state), None
    while (step := model.calm_step(state, ORDERS[0])) is not None:
        yield step, state
        state = step.state
