"""Asks a run's operator for a sign of life that costs the run nothing.

A job of the harness's own is created suspended: an operator that says so leads, has leveled its
cache and works through its queue. What it costs is left out of traces by its name.
"""

import asyncio
from typing import Final

from fairlead_api.conditions import FineTuneJobCondition
from fairlead_chaos.scenario import Hands
from fairlead_chaos.scenarios import jobs, states
from fairlead_operator import kube

PROBE: Final = "probe-of-the-harness"


async def answered(hands: Hands) -> None:
    """Return once the operator has written a status that it could not have written before."""
    said = states.says(FineTuneJobCondition.SUSPENDED, "True")
    creating = asyncio.create_task(hands.create(jobs.finetunejob(PROBE, suspend=True)))
    try:
        # Whoever is cancelled here has asked the API server by now: the job comes nevertheless.
        await asyncio.shield(creating)
        await hands.until(kube.FINETUNEJOB, PROBE, said, "a new job says that it is suspended")
    finally:
        await asyncio.wait([creating])
        if creating.exception() is None:
            await hands.delete(kube.FINETUNEJOB, PROBE)
            await hands.until(kube.FINETUNEJOB, PROBE, states.is_gone, "the probe is gone")
