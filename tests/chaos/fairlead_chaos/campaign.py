"""Many runs side by side, each judged by the undisturbed runs of its scenario.

Knows no process and no API server: it is given a function that carries out one run and gives
what was seen (``Witness``), and the oracle. So a campaign's own counting is tested without them.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from fairlead_chaos import plans
from fairlead_chaos.faults import Plan
from fairlead_chaos.findings import Finding
from fairlead_chaos.results import Judged, Tally
from fairlead_chaos.trace import Trace

SeenT = TypeVar("SeenT")
ReferenceT = TypeVar("ReferenceT")
NUM_REFERENCES = 3
MOST_REPEATS = 3
"""How often a run is made again that was starved, or in which the plan's point did not come; and
once more as often when all others are done."""


@dataclass(frozen=True)
class Oracle(Generic[SeenT, ReferenceT]):
    """How runs are carried out and judged."""

    witness: Callable[[Plan], Awaitable[SeenT]]
    """Carries out one run; what goes wrong in it is part of what is seen."""
    trace: Callable[[SeenT], Trace]
    learn: Callable[[str, Sequence[SeenT]], ReferenceT]
    """From a scenario's undisturbed runs what every run of it is measured by."""
    judge: Callable[[ReferenceT, SeenT], Sequence[Finding]]
    agree: Callable[[ReferenceT], Sequence[Finding]]
    """What is wrong with the undisturbed runs themselves."""
    keep: Callable[[SeenT], None]
    """Keeps what a person needs of a run with findings."""
    is_starved: Callable[[SeenT], bool]
    """Whether the machine was too slow for the run to tell anything: it is made again."""


@dataclass
class Campaign(Generic[SeenT, ReferenceT]):
    """References once learned, and runs against them."""

    oracle: Oracle[SeenT, ReferenceT]
    num_parallel: int
    say: Callable[[str], None]
    references: dict[str, ReferenceT] = field(default_factory=dict)
    traces: dict[str, list[Trace]] = field(default_factory=dict)

    async def learn(
        self, scenarios: Iterable[str], num_references: int = NUM_REFERENCES
    ) -> list[Judged]:
        """Tell each scenario undisturbed a few times; returns what is wrong even so."""
        undisturbed = [Plan(name) for name in scenarios for _ in range(num_references)]
        seen: dict[str, list[SeenT]] = defaultdict(list)
        starved: list[Plan] = []

        async def one(plan: Plan) -> None:
            run, num_starved = await self._witness(plan)
            if num_starved > MOST_REPEATS:
                starved.append(plan)
            else:
                seen[plan.scenario].append(run)

        await self._side_by_side(undisturbed, one, "undisturbed")
        for plan in starved:  # one by one now
            run, _ = await self._witness(plan)
            seen[plan.scenario].append(run)
        wrong = []
        for name, runs in seen.items():
            self.references[name] = self.oracle.learn(name, runs)
            self.traces[name] = [self.oracle.trace(run) for run in runs]
            findings = tuple(self.oracle.agree(self.references[name]))
            if findings:
                wrong.append(Judged(Plan(name), findings, is_reached=True))
                for run in runs:
                    self.oracle.keep(run)
        return wrong

    def plans(self, makers: Iterable[plans.Maker]) -> list[Plan]:
        """Every plan that these makers draw from the references' traces."""
        return [
            plan
            for name, traces in sorted(self.traces.items())
            for maker in makers
            for plan in maker(name, traces)
        ]

    async def run(self, chosen: Sequence[Plan]) -> Tally:
        """Carry plans out and judge each by its scenario's reference."""
        tally = Tally(planned=len(chosen))
        untold: list[Judged] = []

        async def one(plan: Plan) -> None:
            judged, seen, is_starved = await self._judged(plan)
            if is_starved or judged.outcome == "missed":
                untold.append(judged)
            else:
                self._add(tally, judged, seen)

        await self._side_by_side(chosen, one, "plans")
        for before in untold:  # one by one now
            judged, seen, _ = await self._judged(before.plan)
            num_starved = before.num_starved + judged.num_starved
            num_unreached = before.num_unreached + judged.num_unreached
            both = replace(judged, num_starved=num_starved, num_unreached=num_unreached)
            self._add(tally, both, seen)
        return tally

    async def _judged(self, plan: Plan) -> tuple[Judged, SeenT, bool]:
        """A plan's verdict, the run that it is of, and whether that one was starved."""
        num_starved = num_unreached = 0
        for _ in range(1 + MOST_REPEATS):
            seen, starved = await self._witness(plan)
            findings = tuple(self.oracle.judge(self.references[plan.scenario], seen))
            reached = is_reached(plan, self.oracle.trace(seen))
            num_starved += starved
            num_unreached += not reached
            if reached or findings or starved > MOST_REPEATS:
                break
        judged = Judged(plan, findings, reached, num_starved, num_unreached)
        return judged, seen, starved > MOST_REPEATS

    def _add(self, tally: Tally, judged: Judged, seen: SeenT) -> None:
        tally.add(judged)
        if judged.findings:
            self.oracle.keep(seen)
        for finding in judged.findings:
            self.say(f"FOUND {finding}\n      by {judged.plan.to_json()}")

    async def _witness(self, plan: Plan) -> tuple[SeenT, int]:
        """One run that tells something, and how many were starved."""
        for num_starved in range(1 + MOST_REPEATS):
            seen = await self.oracle.witness(plan)
            if not self.oracle.is_starved(seen):
                return seen, num_starved
        return seen, 1 + MOST_REPEATS

    async def _side_by_side(
        self, chosen: Sequence[Plan], one: Callable[[Plan], Awaitable[None]], what: str
    ) -> None:
        """Do all, a few at a time; tell how far it is every half minute."""
        waiting, done = list(reversed(chosen)), 0
        began = told = time.monotonic()

        async def worker() -> None:
            nonlocal done, told
            while waiting:
                await one(waiting.pop())
                done += 1
                now = time.monotonic()
                if now - told >= 30 or done == len(chosen):
                    told = now
                    left = (now - began) / done * (len(chosen) - done)
                    self.say(f"{done} of {len(chosen)} {what}, about {left / 60:.0f} min left")

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.num_parallel, len(chosen))):
                group.create_task(worker())


def is_reached(plan: Plan, trace: Trace) -> bool:
    """Whether every point at which the plan acts came in the run."""
    return not plans.points(plan) - Counter(trace.reached)
