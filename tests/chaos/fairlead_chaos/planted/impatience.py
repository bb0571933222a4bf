"""Ends a story that waits in vain: an operator with a bug may never get there.

In vain means: the operator answers, and nothing changes for longer than any of its own timers
takes and the plan holds an event back. How slow the operator is makes no difference.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from fairlead_chaos import probe, rest
from fairlead_chaos.admin import Admin
from fairlead_chaos.faults import Hold, Plan
from fairlead_chaos.scenario import Hands, Manifest, Scenario
from fairlead_operator.kube import Kind

STILL_SECONDS: Final = 12.0
"""Longer than a retry's first delay and a retirement's: ten seconds each."""
FoundT = TypeVar("FoundT")


def impatient(scenario: Scenario, plan: Plan, admin: Admin) -> Scenario:
    """The same scenario, whose story gives up where it waits in vain under the plan."""
    held = [fault.seconds for fault in plan.faults if isinstance(fault, Hold)]
    still_seconds = max(held, default=0.0) + STILL_SECONDS

    async def story(hands: Hands) -> None:
        await scenario.story(_Impatient(hands, admin, still_seconds))

    return dataclasses.replace(scenario, story=story)


class _Impatient:
    """Hands that wait for as long as something happens."""

    def __init__(self, hands: Hands, admin: Admin, still_seconds: float) -> None:
        self._hands, self._admin, self._still_seconds = hands, admin, still_seconds
        self.namespace = hands.namespace
        self.create, self.patch, self.delete = hands.create, hands.patch, hands.delete
        self.evict, self.lose_node = hands.evict, hands.lose_node
        self.restart_operator = hands.restart_operator

    async def until(
        self, kind: Kind, name: str, holds: Callable[[Manifest | None], object], what: str
    ) -> Manifest | None:
        """As ``Hands.until``."""
        return await self._unless_still(self._hands.until(kind, name, holds, what), what)

    async def until_pods(
        self, selector: dict[str, str], holds: Callable[[list[Manifest]], object], what: str
    ) -> list[Manifest]:
        """As ``Hands.until_pods``."""
        return await self._unless_still(self._hands.until_pods(selector, holds, what), what)

    async def _unless_still(self, waiting: Coroutine[Any, Any, FoundT], what: str) -> FoundT:
        story, watch = asyncio.create_task(waiting), asyncio.create_task(self._still())
        try:
            await asyncio.wait({story, watch}, return_when=asyncio.FIRST_COMPLETED)
            if story.done():
                return story.result()
            watch.result()
            raise TimeoutError(f"all is at rest, and never: {what}")
        finally:
            story.cancel()
            watch.cancel()
            await asyncio.gather(story, watch, return_exceptions=True)

    async def _still(self) -> None:
        """Return once nothing changes though the operator answers."""
        while True:
            if await self._changes():
                continue
            await probe.answered(self._hands)
            if not await self._changes():
                return

    async def _changes(self) -> bool:
        before = await rest.state(self._admin, self.namespace)
        await asyncio.sleep(self._still_seconds)
        return await rest.state(self._admin, self.namespace) != before
