"""A cell ends its operator whatever interrupts it, and is itself ended by who cancels it."""

import asyncio
import contextlib
import signal
from types import SimpleNamespace

import pytest

from fairlead_chaos.cell import Cell
from fairlead_chaos.faults import Plan
from fairlead_chaos.nursery import Exit, NurseryError
from fairlead_chaos.scenario import Scenario
from fairlead_chaos.trace import Trace

LONG_SECONDS = 60


class Process:
    """An operator that leaves by SIGKILL only."""

    def __init__(self, pid):
        self.pid, self.signals = pid, []
        self.exited = asyncio.get_running_loop().create_future()

    async def end(self, how):
        self.signals.append(how)
        if how is signal.SIGKILL and not self.exited.done():
            self.exited.set_result(Exit(-how, 0.0))
        return await asyncio.shield(self.exited)


class Nursery:
    """Bears them, as long as it is well."""

    def __init__(self):
        self.born, self.is_well = [], True

    async def start(self, *_):
        if not self.is_well:
            raise NurseryError("the zygote ended")
        self.born.append(Process(len(self.born) + 1))
        return self.born[-1]


class Admin:
    """An API server on which everything is as wished."""

    async def create(self, manifest, namespace=None):
        return {**manifest, "metadata": {**manifest["metadata"], "uid": "any"}}

    ensure = create

    async def call(self, *_):
        return {"status": {"token": "any"}}

    async def states(self, *_):
        yield [{"status": {"phase": "Bound"}}]

    async def delete(self, *_):
        pass

    def patience(self, seconds):
        return asyncio.timeout(seconds)


class Gate:
    """Lets everything through."""

    def __init__(self):
        self.trace, self.rests = Trace(), True

    async def start(self):
        return "http://localhost"

    async def begin(self, incarnation):
        pass

    async def close(self):
        pass


@contextlib.asynccontextmanager
async def node():
    yield "any"


@pytest.fixture
def nursery():
    return Nursery()


@pytest.fixture
def cell(nursery, tmp_path):
    async def story(hands):
        pass

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "any"}}
    world = SimpleNamespace(
        name="any", folder=tmp_path, admin=Admin(), nursery=nursery, rbac=[account], node=node,
        gate=lambda *_: Gate(),
    )  # fmt: skip
    scenario = Scenario("any", "FineTuneJob", story)
    return Cell(world, scenario, Plan("any"))


async def test_a_restart_that_is_cancelled_while_it_stops_the_watcher_is_cancelled(cell, nursery):
    async with asyncio.timeout(LONG_SECONDS), cell:
        await cell.run()
        restart = asyncio.create_task(cell.hands.restart_operator())
        await asyncio.sleep(0)
        assert nursery.born[0].signals == [], "it is not that far"
        restart.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restart
    assert [each.signals for each in nursery.born] == [[signal.SIGKILL]]


async def test_an_operator_whose_end_was_not_waited_for_ends_with_its_cell(cell, nursery):
    async with asyncio.timeout(LONG_SECONDS), cell:
        run = await cell.run()
        restart = asyncio.create_task(cell.hands.restart_operator())
        while not nursery.born[0].signals:
            await asyncio.sleep(0)
        restart.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restart
    assert [each.signals for each in nursery.born] == [[signal.SIGTERM, signal.SIGKILL]]
    assert [each.code for each in run.exits] == [-signal.SIGKILL]
    assert run.crashes == []


async def test_a_kill_after_a_cancelled_restart_starts_the_next_one(cell, nursery):
    async with asyncio.timeout(LONG_SECONDS), cell:
        await cell.run()
        restart = asyncio.create_task(cell.hands.restart_operator())
        while not nursery.born[0].signals:
            await asyncio.sleep(0)
        restart.cancel()
        await cell.kill()
        assert cell.pid == nursery.born[1].pid
    assert len(nursery.born) == 2


async def test_what_broke_a_restart_after_a_crash_is_told(cell, nursery, monkeypatch):
    monkeypatch.setattr("fairlead_chaos.cell.CRASH_PAUSE_SECONDS", 0)
    with pytest.raises(NurseryError):
        async with asyncio.timeout(LONG_SECONDS), cell:
            await cell.run()
            nursery.is_well = False
            nursery.born[0].exited.set_result(Exit(1, 0.0))
            for _ in range(20):
                await asyncio.sleep(0)
