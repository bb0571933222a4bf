"""A loop that stands still ends the process; one that works does not."""

import asyncio
import threading
import time

from fairlead_operator.watchdog import Watchdog


async def test_a_stalled_loop_is_left_with_its_stack():
    left = threading.Event()
    reports = []
    dog = Watchdog(50, 0.01, lambda report: (reports.append(report), left.set()))
    beating = asyncio.create_task(dog.beat())
    await asyncio.sleep(0)
    stand_still(left)
    assert left.is_set()
    assert "stand_still" in reports[0], "the report must say where the loop stands"
    beating.cancel()


def stand_still(left):
    deadline = time.monotonic() + 30
    while not left.is_set() and time.monotonic() < deadline:
        pass


async def test_a_working_loop_is_left_alone():
    left = threading.Event()
    dog = Watchdog(200, 0.005, lambda _: left.set())
    beating = asyncio.create_task(dog.beat())
    async with asyncio.timeout(60):
        while dog._beats < 300:
            await asyncio.sleep(0.001)
    assert not left.is_set()
    beating.cancel()
    dog._leave = lambda _: None
