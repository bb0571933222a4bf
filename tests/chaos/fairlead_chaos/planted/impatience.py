"""Shortens how long a story waits: an operator with a bug may never get there."""

import asyncio
import dataclasses
from collections.abc import Callable

from fairlead_chaos.scenario import Hands, Manifest, Scenario
from fairlead_operator.kube import Kind


def impatient(scenario: Scenario, seconds: float) -> Scenario:
    """The same scenario, whose story gives up on anything after so many seconds."""

    async def story(hands: Hands) -> None:
        await scenario.story(_Impatient(hands, seconds))

    return dataclasses.replace(scenario, story=story)


class _Impatient:
    """Hands that wait less long."""

    def __init__(self, hands: Hands, seconds: float) -> None:
        self._hands, self._seconds = hands, seconds
        self.namespace = hands.namespace
        self.create, self.patch, self.delete = hands.create, hands.patch, hands.delete
        self.evict, self.lose_node = hands.evict, hands.lose_node
        self.restart_operator = hands.restart_operator

    async def until(
        self, kind: Kind, name: str, holds: Callable[[Manifest | None], object], what: str
    ) -> Manifest | None:
        """As ``Hands.until``, less long."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._hands.until(kind, name, holds, what)
        except TimeoutError:
            raise TimeoutError(f"never in {self._seconds:.0f} s: {what}") from None

    async def until_pods(
        self, selector: dict[str, str], holds: Callable[[list[Manifest]], object], what: str
    ) -> list[Manifest]:
        """As ``Hands.until_pods``, less long."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._hands.until_pods(selector, holds, what)
        except TimeoutError:
            raise TimeoutError(f"never in {self._seconds:.0f} s: {what}") from None
