"""The campaigns: which plans, how many at once, and the result file of each.

``learn``ed references serve all campaigns of one call. I/O is the lab's and the result files'.
"""

import functools
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fairlead_chaos import (
    complaints,
    jobways,
    oracle,
    places,
    plans,
    results,
    transcript,
    transitions,
    walk,
    witness,
)
from fairlead_chaos.campaign import MOST_REPEATS, Campaign, Oracle
from fairlead_chaos.faults import LoseReply, Plan
from fairlead_chaos.lab import Lab
from fairlead_chaos.oracle import Ending, Reference
from fairlead_chaos.results import Judged, Tally
from fairlead_chaos.rights import Comparison
from fairlead_chaos.run import PastLost
from fairlead_chaos.scenario import Manifest, Scenario
from fairlead_chaos.trace import Sent, Trace
from fairlead_chaos.usage import Usage
from fairlead_operator.cluster import TIMEOUT_SECONDS
from fairlead_operator.kube import Kind
from fairlead_operator.reconcile import LeaseLost

TRANSITIONS: Final = "transitions"
CAMPAIGNS: Final = (*plans.CAMPAIGNS, TRANSITIONS)
_TIMED_OUT: Final = f"no answer within {TIMEOUT_SECONDS:.0f} s"
_KOPF_RETRIES: Final = "failed; will retry: GET"
WAYS_AT_ONCE: Final = 40
"""Services of one namespace that change at the same time, those made from scratch not counted."""
Chaos = Campaign[Ending, Reference]


@dataclass(frozen=True)
class Course:
    """How a soak is run."""

    num_parallel: int
    most: int
    """Plans, or ways, of each campaign."""
    seed: int
    say: Callable[[str], None]
    logs: Path
    """Folder for the operator's log of each run that went wrong."""


def chaos(lab: Lab, scenarios: dict[str, Scenario], course: Course) -> Chaos:
    """A campaign over real runs in a lab."""
    by = Oracle(
        witness=functools.partial(witnessed, lab, scenarios),
        trace=lambda ending: ending.trace,
        learn=oracle.learn,
        judge=oracle.judge,
        agree=oracle.disagreements,
        keep=functools.partial(_keep, course.logs),
        is_starved=is_starved,
    )
    return Campaign(by, course.num_parallel, course.say)


async def witnessed(
    lab: Lab, scenarios: dict[str, Scenario], plan: Plan, bug: str | None = None
) -> Ending:
    """One run; what breaks the run itself is told as its error, so that the others go on."""
    try:
        return await witness.witness(lab, scenarios[plan.scenario], plan, bug)
    except Exception:
        return _broken(plan)


def _broken(plan: Plan) -> Ending:
    """What is known of a run that the current exception ended."""
    text = f"the run broke: {traceback.format_exc()}"
    return Ending(plan, trace=Trace(), snapshot={}, log="", error=text)


def is_starved(ending: Ending) -> bool:
    """Whether the machine was too slow for a run to tell anything.

    Then its operator could not renew its lease in time, the API server failed to answer it, or had
    forgotten the past that the plan asks for. No plan touches a lease or is as slow, and what a
    plan refuses the API server never sees: leaving, or trying again, was right.
    """
    has_lost_lease = LeaseLost.__name__ in ending.log
    return (
        (bool(ending.crashes) and has_lost_lease)
        or any(words in ending.log for words in (_TIMED_OUT, _KOPF_RETRIES))
        or any(map(_failed, (*ending.trace.sent, *ending.trace.apart)))
        # An operator that crashes loses its answers, too.
        or (_has_lost_a_reply(ending) and not ending.crashes)
        or PastLost.__name__ in ending.error
    )


def _has_lost_a_reply(ending: Ending) -> bool:
    by_plan = {fault.at for fault in ending.plan.faults if isinstance(fault, LoseReply)}
    return any(one.answered == "lost" and one.write not in by_plan for one in ending.trace.sent)


def _failed(sent: Sent) -> bool:
    """Whether the API server itself could not carry a request out then."""
    return sent.code == HTTPStatus.TOO_MANY_REQUESTS or sent.code >= 500


def _keep(logs: Path, ending: Ending) -> None:
    """Leave the plan, the trace and the operator's log of a run for a person to read."""
    logs.mkdir(parents=True, exist_ok=True)
    name = ending.namespace or f"{ending.plan.scenario}-broken"
    parts = [ending.plan.to_json(), ending.error, *transcript.lines(ending.trace), ending.log]
    (logs / f"{name}.log").write_text("\n".join(parts))


async def faults(made: Chaos, name: str, course: Course) -> tuple[dict[str, Any], Tally]:
    """One campaign of faults against references that are learned: its file's body, its verdicts."""
    head, began = results.head(course.seed), time.monotonic()
    everything = made.plans(plans.CAMPAIGNS[name])
    chosen = plans.drawn(everything, course.most, course.seed)
    course.say(f"{name}: {len(chosen)} of {len(everything)} plans")
    tally = await made.run(chosen)
    for line in tally.excess:
        course.say(f"FOUND {line}")
    masks = {each: reference.masks.by_kind() for each, reference in made.references.items()}
    body = {"possible": len(everything), "masks": masks, **tally.as_object()}
    return _body(name, course, head, began) | body, tally


def undisturbed(wrong: Sequence[Judged]) -> list[str]:
    """What is wrong with the scenarios themselves, as lines."""
    return [f"{one.plan.scenario}: {finding}" for one in wrong for finding in one.findings]


def _body(name: str, course: Course, head: dict[str, Any], began: float) -> dict[str, Any]:
    return head | {
        "campaign": name,
        "num_parallel": course.num_parallel,
        "seconds": round(time.monotonic() - began),
    }


async def ways(lab: Lab, course: Course) -> dict[str, Any]:
    """The campaign of spec transitions; the body of its file."""
    head, began = results.head(course.seed), time.monotonic()
    everything = [*transitions.ways(), *jobways.ways()]
    chosen = everything[:: -(-len(everything) // course.most)]  # evenly, where not all
    scratch: dict[str, Manifest] = {}
    findings: dict[str, list[str]] = {}
    judged: set[str] = set()
    num_gone = num_walks = num_starved = 0
    for batch in places.batches(chosen, WAYS_AT_ONCE):
        outcome = await walked(lab, batch, scratch)
        judged |= outcome.judged
        num_walks += 1
        num_starved += outcome.num_starved > 0
        findings |= {name: lines for name, lines in outcome.found.items() if lines}
        num_gone += sum(way is not jobways.BASIS for way in batch)
        course.say(f"{num_gone} of {len(chosen)} ways")
        for name, lines in outcome.found.items():
            for line in lines:
                course.say(f"FOUND {name}: {line}")
    excess = results.too_many(num_starved, num_walks, "walks starved", results.MOST_STARVED)
    for line in excess:
        course.say(f"FOUND {line}")
    told = [way for way in chosen if way.name in judged]
    errors = (way.error for way in told)
    return _body(TRANSITIONS, course, head, began) | {
        "possible": len(everything),
        "gone": len(told),
        "walks": num_walks,
        "starved": num_starved,
        "excess": excess,
        "from_scratch": len(scratch),
        "by_kind": dict(sorted(Counter(map(_kind_of_way, told)).items())),
        "back_from": dict(sorted(Counter(error.title for error in errors if error).items())),
        "findings": dict(sorted(findings.items())),
    }


def rights(used: Usage, course: Course) -> tuple[dict[str, Any], Comparison]:
    """What the runs since the last time were granted and used: a part of a body, and as found."""
    taken = used.taken()
    for right in sorted(taken.comparison.missing):
        course.say(f"FOUND a call without a right: {right}")
    for right in sorted(taken.comparison.needless):
        course.say(f"FOUND an excuse for a right that is not granted: {right}")
    for why in taken.unread:
        course.say(f"FOUND {why}")
    body = {"runs": taken.num_runs, "unread": taken.unread, **taken.comparison.as_object()}
    return body, taken.comparison


def is_bad(body: dict[str, Any]) -> bool:
    """Whether a campaign found something, or proves nothing."""
    of_rights = (body["rights"][name] for name in ("missing", "needless", "unread"))
    return any(body.get(name) for name in ("findings", "undisturbed", "excess")) or any(of_rights)


def _kind_of_way(way: transitions.Way) -> str:
    if way.context in jobways.STOPS:
        return "of a job"
    if way.hurried:
        return "in a hurry"
    has_error = any(state.good is not transitions.Good.ALWAYS for state in way.states)
    return "by way of an error state" if has_error else "between served states"


@dataclass(frozen=True)
class Walked:
    """What came out of a walk."""

    found: dict[str, list[str]]
    """What is wrong with each way; one without a verdict has a line that says so."""
    judged: frozenset[str]
    """Names of the ways with a verdict."""
    num_starved: int
    """How often the machine was too slow for it."""


async def walked(
    lab: Lab, batch: Sequence[transitions.Way], scratch: dict[str, Manifest]
) -> Walked:
    """Go some ways of one place, all at once in a namespace.

    What is wrong with the operator meanwhile stands under all their names together, if it doesn't
    tell of one of them. A walk that was starved is made again, and its pictures are not kept.
    """

    async def listing(kind: Kind, namespace: str) -> Sequence[Manifest]:
        items: list[Manifest] = (await lab.admin.listing(kind, namespace))["items"]
        return items

    num_starved = 0
    while num_starved <= MOST_REPEATS:
        found: dict[str, list[str]] = {}
        known = dict(scratch)
        ending = await _walk(lab, places.of(batch[0]).scenario(listing, batch, known, found))
        if not is_starved(ending):
            scratch |= known
            break
        num_starved += 1
    judged = frozenset(found)
    for way in batch:
        found.setdefault(way.name, ["no verdict: the walk did not come to its end"])
    meanwhile = [*oracle.of_itself(ending), *complaints.errors(ending.loud())]
    for name, lines in walk.by_way(batch, meanwhile).items():
        found.setdefault(name, []).extend(lines)
    return Walked(found, judged, num_starved)


async def _walk(lab: Lab, scenario: Scenario) -> Ending:
    """One walk; what breaks it is told as its error, so that the others go on."""
    try:
        return await witness.walked(lab, scenario)
    except Exception:
        return _broken(Plan(scenario.name))
