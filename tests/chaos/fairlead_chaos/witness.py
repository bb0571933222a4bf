"""Carries out one run and puts down what the oracle judges: its end, and what a nudge changes.

A run is at rest when the operator has answered and nothing has changed for a time, with nothing
kept back from it any more. Then every resource is touched, so that it looks at each again. What
the asking costs is left out of the trace.
"""

import asyncio
import dataclasses
import time
from datetime import UTC, datetime
from typing import Final

from fairlead_api import names
from fairlead_chaos import ground, levels, probe, snapshot
from fairlead_chaos.admin import Admin, kind_of
from fairlead_chaos.cell import Cell, Run
from fairlead_chaos.faults import Drop, Hold, OldList, Plan, Stall
from fairlead_chaos.lab import Lab
from fairlead_chaos.oracle import Ending
from fairlead_chaos.scenario import Manifest, Scenario
from fairlead_chaos.snapshot import Snapshot, Span
from fairlead_operator import kube
from fairlead_operator.kube import Kind

QUIET_SECONDS: Final = 1.5
"""Without any change in the namespace."""
COLLECT_SECONDS: Final = 180.0
"""Longest that Kubernetes' controllers are waited for."""
TOUCHED: Final = "chaos.fairlead.dev/touched"
_POLL_SECONDS: Final = 0.2


async def witness(
    lab: Lab, scenario: Scenario, plan: Plan | None = None, bug: str | None = None
) -> Ending:
    """Carry out one run; whatever goes wrong in it is part of what is returned."""
    began = datetime.now(UTC)
    async with lab.cell(scenario, plan, bug) as cell:
        run = await cell.run()
        found: Snapshot = {}
        num_sent = 0
        if await _rests(cell, run):
            found = await _end(lab.admin, run, began)
            num_sent = await _nudged(lab.admin, cell, run)
        await _release(lab.admin, run.namespace)
    return seen(run, found, num_sent)


async def walked(lab: Lab, scenario: Scenario) -> Ending:
    """Carry out a run of very many resources, whose end its story judges by itself."""
    async with lab.cell(scenario) as cell:
        run = await cell.run()
        is_at_rest = await _rests(cell, run)
        num_sent = await _nudged(lab.admin, cell, run) if is_at_rest else 0
    return seen(run, {}, num_sent)


async def _nudged(admin: Admin, cell: Cell, run: Run) -> int:
    """Have all looked at again, until all rests; how much was sent before."""
    num_sent = len(run.trace.sent)
    await _touch(admin, run.namespace)
    await _rests(cell, run)
    return num_sent


async def _rests(cell: Cell, run: Run) -> bool:
    """Whether the operator answers and all is quiet then; why not stands in the run's error."""
    if run.error is None:
        try:
            await probe.answered(cell.hands)
        except TimeoutError as error:
            run.error = f"the operator does not answer: {error}"
    if run.error is not None or not await cell.settled(QUIET_SECONDS):
        return False
    # What was kept back may have been told at the very end of that time.
    return not _keeps_back(run.plan) or await cell.settled(QUIET_SECONDS)


async def _end(admin: Admin, run: Run, began: datetime) -> Snapshot:
    """The run's objects once the garbage collector and the other controllers had their time."""
    deadline = time.monotonic() + COLLECT_SECONDS
    objects = await _objects(admin, run.namespace)
    while _is_moving(objects) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        objects = await _objects(admin, run.namespace)
    selected = [one["spec"]["nodeSelector"] for one in objects if one["kind"] == kube.POD.kind]
    nodes = {labels[ground.HOSTNAME] for labels in selected}  # also of pods that go nowhere
    return snapshot.of(objects, run.namespace, nodes, Span(began, datetime.now(UTC)))


def _is_moving(objects: list[Manifest]) -> bool:
    return snapshot.is_moving(objects) or levels.lags(objects)


async def _objects(admin: Admin, namespace: str) -> list[Manifest]:
    async def items(kind: Kind, namespace: str) -> list[Manifest]:
        try:
            listed = await admin.listing(kind, namespace)
        except kube.NotFound:  # an optional kind
            return []
        return listed["items"] or []

    return await snapshot.objects(items, namespace)


async def _release(admin: Admin, namespace: str) -> None:
    """Take off finalizers of ours, or the namespace would stand for ever: they are seen by now."""
    for one in await _objects(admin, namespace):
        head = one["metadata"]
        if any(name.startswith(f"{names.GROUP}/") for name in head.get("finalizers") or ()):
            change = {"metadata": {"finalizers": None}}
            await admin.patch(kind_of(one), namespace, head["name"], change)


async def _touch(admin: Admin, namespace: str) -> None:
    """Change each resource in a way that asks for nothing."""
    change = {"metadata": {"annotations": {TOUCHED: "yes"}}}
    for kind in kube.PARENTS:
        for found in (await admin.listing(kind, namespace))["items"] or []:
            await admin.patch(kind, namespace, found["metadata"]["name"], change)


def _keeps_back(plan: Plan) -> bool:
    return any(isinstance(fault, Drop | Hold | OldList | Stall) for fault in plan.faults)


def seen(run: Run, found: Snapshot, num_sent: int) -> Ending:
    """A run as the oracle takes it: where it ended, and what was sent before it rested."""
    return Ending(
        plan=run.plan,
        trace=dataclasses.replace(
            run.trace,
            sent=[one for one in run.trace.sent if one.write.name != probe.PROBE],
            heard=[one for one in run.trace.heard if one.told.name != probe.PROBE],
        ),
        snapshot=found,
        log=run.log,
        namespace=run.namespace,
        at_rest=tuple(one for one in run.trace.sent[num_sent:] if one.write.name != probe.PROBE),
        error=run.error or "",
        crashes=tuple(f"process {one.incarnation} ended: {one.code}" for one in run.crashes),
    )
