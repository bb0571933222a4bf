"""From reference traces to plans: every place where a run can be crashed, blinded or refused.

Pure. Only points that every undisturbed run of a scenario has are used: a point that comes by
chance would often not be reached, and a plan that did not happen proves nothing.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from fairlead_chaos import faults
from fairlead_chaos.faults import Moment, Plan, Point, Told, Write
from fairlead_chaos.trace import NOT_COUNTED, Heard, Sent, Trace
from fairlead_operator.cluster import ATTEMPTS

REFUSALS: Final = (409, 429, 500, 504)
TOO_MANY_REQUESTS: Final = 429
OUTLASTING: Final = ATTEMPTS + 1
"""More refusals than the client takes for a call: a pass over the resource gets to know of them."""
HELD_SECONDS: Final = 3.0
"""Long enough for several passes on what is known, short enough for many runs."""
PARENTS: Final = ("finetunejobs", "modelservices")


def common_writes(traces: Sequence[Trace]) -> list[Sent]:
    """The counted requests that every trace has, each once, as the first one sent them."""
    shared = set.intersection(*({one.write for one in trace.sent} for trace in traces))
    found = {
        one.write: one
        for one in traces[0].sent
        if one.write in shared and one.write.resource.partition("/")[0] not in NOT_COUNTED
    }
    return list(found.values())


def common_events(traces: Sequence[Trace]) -> list[Heard]:
    """The watch events that every trace has, as the first one heard them."""
    shared = set.intersection(*({one.told for one in trace.heard} for trace in traces))
    return [one for one in traces[0].heard if one.told in shared]


def crashes(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """A kill before each request is sent, once it is committed, and once it is answered."""
    for one in common_writes(traces):
        for moment in Moment:
            yield Plan(scenario, (faults.Kill(one.write, moment),))


def double_crashes(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """A kill at a request's commit, and another at the next one's: recovery is crashed too."""
    for first, second in pairwise(common_writes(traces)):
        kills = (first.write, second.write)
        yield Plan(scenario, tuple(faults.Kill(at, Moment.AFTER_COMMIT) for at in kills))


def event_crashes(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """A kill just before the operator hears of a change, and just after."""
    for one in common_events(traces):
        for moment in (Moment.BEFORE_SEND, Moment.AFTER_REPLY):
            yield Plan(scenario, (faults.Kill(one.told, moment),))


def refusals(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """Each request answered 409, 429, 500 or 504 in the API server's place, or its reply lost.

    Once, which the client's own retries make good, and for longer than those go on.
    """
    for one in common_writes(traces):
        for code in REFUSALS:
            yield Plan(scenario, (faults.Refuse(one.write, code),))
            yield Plan(scenario, (faults.Refuse(one.write, code, OUTLASTING),))
        asking = faults.Refuse(one.write, TOO_MANY_REQUESTS, retry_after_seconds=1)
        yield Plan(scenario, (asking,))
        yield Plan(scenario, (faults.LoseReply(one.write),))


def unobserved(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """An event that is never told; only such as a later one of the object makes up for.

    No watch loses the end of a child and goes on: the operator would have to make the next one.
    """
    for earlier, _ in _successive(common_events(traces)):
        if earlier.type != "DELETED" or earlier.resource in PARENTS:
            yield Plan(scenario, (faults.Drop(earlier),))


def held(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """Each object's events from one on told late, while those of others go by."""
    for one in common_events(traces):
        yield Plan(scenario, (faults.Hold(one.told, HELD_SECONDS),))


def replayed(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """An event told again after the object's next one: the past comes back."""
    for earlier, later in _successive(common_events(traces)):
        yield Plan(scenario, (faults.Replay(earlier, later),))


def old_lists(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """A restart that is shown an earlier state: at each request, as of each earlier one's time.

    With the operator's own listings true, and with those as old.
    """
    writes = [one.write for one in common_writes(traces)]
    for place, at in enumerate(writes):
        for as_of in _spread(writes[: place + 1]):
            kill = faults.Kill(at, Moment.AFTER_COMMIT)
            for audited in (False, True):
                old = faults.OldList((), as_of, HELD_SECONDS, audited)
                yield Plan(scenario, (kill, old))


def broken_streams(scenario: str, traces: Sequence[Trace]) -> Iterator[Plan]:
    """A watch that ends, or goes silent, in place of each event."""
    for one in common_events(traces):
        yield Plan(scenario, (faults.Cut(one.told),))
        yield Plan(scenario, (faults.Stall(one.told, HELD_SECONDS),))


Maker = Callable[[str, Sequence[Trace]], Iterator[Plan]]
CAMPAIGNS: Final[dict[str, tuple[Maker, ...]]] = {
    "crash": (crashes, double_crashes, event_crashes),
    "refuse": (refusals,),
    "stale": (unobserved, held, replayed, old_lists, broken_streams),
}
"""What each campaign is made of."""


def drawn(plans: Iterable[Plan], most: int, seed: int) -> list[Plan]:
    """At most that many plans, by chance of the seed, evenly over scenarios and faults."""
    by_class: dict[tuple[str, tuple[str, ...]], list[Plan]] = {}
    for plan in plans:
        made_of = tuple(_class(fault) for fault in plan.faults)
        by_class.setdefault((plan.scenario, made_of), []).append(plan)
    chance = random.Random(seed)
    rest = [chance.sample(of_class, len(of_class)) for _, of_class in sorted(by_class.items())]
    chance.shuffle(rest)
    found: list[Plan] = []
    while len(found) < most and rest:
        for of_class in rest:
            found.append(of_class.pop())
        rest = [of_class for of_class in rest if of_class]
    return found[:most]


def points(plan: Plan) -> Counter[Point]:
    """The points that a run has to reach for the plan to have happened."""
    return Counter(map(faults.point, plan.faults))


def _class(fault: faults.Fault) -> str:
    """What kind of fault: its type, with what it does."""
    if isinstance(fault, faults.Kill):
        return f"{type(fault).__name__} {fault.moment} {type(fault.at).__name__}"
    if isinstance(fault, faults.Refuse):
        return f"{type(fault).__name__} {fault.code} {fault.times} {fault.retry_after_seconds}"
    if isinstance(fault, faults.OldList):
        return f"{type(fault).__name__} {fault.audited}"
    return type(fault).__name__


def _successive(heard: Iterable[Heard]) -> Iterator[tuple[Told, Told]]:
    """Each event with the next one of the same object."""
    last: dict[tuple[str, str], Told] = {}
    for one in heard:
        place = (one.told.resource, one.told.name)
        if place in last:
            yield last[place], one.told
        last[place] = one.told


def _spread(writes: Sequence[Write]) -> list[Write]:
    """The first, the middle one and the last: three moments of the past, or fewer."""
    return [writes[place] for place in sorted({0, len(writes) // 2, len(writes) - 1})]
