"""Judges a run by the undisturbed runs of its scenario.

Pure: what happened comes in as data, findings go out. Knows the field's failures, not the
product's rules: an operator is right when a fault changes neither where things end nor how often
each object was made and deleted on the way. How often a status was written may well change.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead_chaos import compare, complaints, snapshot
from fairlead_chaos.compare import Masks
from fairlead_chaos.faults import OldList, Plan, Write
from fairlead_chaos.findings import Finding, Wrong
from fairlead_chaos.snapshot import Snapshot
from fairlead_chaos.trace import NOT_COUNTED, Sent, Trace

_KINDS: Final = {kind.plural: kind.kind for kind in snapshot.WHOLE}


@dataclass(frozen=True)
class Ending:
    """One run, as far as it is judged."""

    plan: Plan
    trace: Trace
    snapshot: Snapshot
    log: str
    """What all processes of the operator wrote, one after the other."""
    namespace: str = ""
    """Of the run; it stands in the log."""
    at_rest: tuple[Sent, ...] = ()
    """Writes after all had come to rest and was looked at again; heartbeats may be among them."""
    error: str = ""
    """Why the story or the settling did not end; the rest is then of a run cut short."""
    crashes: tuple[str, ...] = ()
    """Ends of the operator's process that nobody wished for."""

    def loud(self) -> list[complaints.Line]:
        """What the operator said louder than INFO."""
        return list(complaints.loud(self.log, self.namespace))


@dataclass(frozen=True)
class Reference:
    """What undisturbed runs of one scenario have in common, and what varies."""

    scenario: str
    endings: tuple[Ending, ...]
    masks: Masks

    @property
    def snapshot(self) -> Snapshot:
        """Where the first of them ended."""
        return self.endings[0].snapshot

    @property
    def writes(self) -> Counter[tuple[str, str, str]]:
        """How often the first of them created and deleted each object."""
        return self.endings[0].trace.created_and_deleted()


def learn(scenario: str, endings: Sequence[Ending]) -> Reference:
    """Learn from undisturbed runs; two at least, better three."""
    for ending in endings:
        if ending.plan.scenario != scenario or ending.plan.faults:
            raise ValueError(f"not an undisturbed run of {scenario}: {ending.plan.to_json()}")
    endings = sorted(endings, key=lambda ending: bool(ending.error))  # whole ones first
    whole = [ending for ending in endings if not ending.error]
    basis = whole if len(whole) > 1 else endings
    return Reference(scenario, tuple(endings), compare.masks(*(one.snapshot for one in basis)))


def disagreements(reference: Reference) -> list[Finding]:
    """What is wrong with the undisturbed runs themselves.

    Where they differ in objects or in counts, the scenario leaves something to chance or the
    product does: either way no other run can be judged by them.
    """
    found = [
        Finding(Wrong.END_STATE, where, "something that all runs have", "nothing: all of it varies")
        for where in compare.covered(reference.snapshot, reference.masks)
    ]
    for ending in reference.endings:
        found += [*of_itself(ending), *complaints.errors(ending.loud())]
        if not ending.error:
            found += _writes(reference, ending)
            found += compare.differences(reference.snapshot, ending.snapshot, reference.masks)
    return list(dict.fromkeys(found))


def judge(reference: Reference, run: Ending) -> list[Finding]:
    """What is wrong with a run, by the undisturbed runs of its scenario."""
    usual = {(one.wrong, one.where) for ending in reference.endings for one in _orphans(ending)}
    found = [one for one in of_itself(run) if (one.wrong, one.where) not in usual]
    said = (line for ending in reference.endings for line in ending.loud())
    found += complaints.complaints(run.loud(), run.plan, complaints.shapes(said))
    found += _writes(reference, run)
    if not run.error:
        found += compare.differences(reference.snapshot, run.snapshot, reference.masks)
    return found


def of_itself(run: Ending) -> Iterator[Finding]:
    """What is wrong with what a run did, whatever others did."""
    if run.error:
        yield Finding(Wrong.NEVER_SETTLED, run.error)
    else:
        yield from _orphans(run)
        yield from _unrest(run)
    yield from _without_effect(run)
    for crash in run.crashes:
        yield Finding(Wrong.LOG, crash)


def _orphans(run: Ending) -> Iterator[Finding]:
    for key, why in snapshot.owners_missing(run.snapshot):
        yield Finding(Wrong.ORPHAN, f"{key}: {why}")


def _unrest(run: Ending) -> Iterator[Finding]:
    """Writes at rest, one finding an object and verb."""
    counted = Counter(_titled(sent.write) for sent in run.at_rest if _counts(sent))
    for title, times in sorted(counted.items()):
        yield Finding(Wrong.UNREST, title, "no write at rest", f"{times}")


def _without_effect(run: Ending) -> Iterator[Finding]:
    """Writes that changed nothing, but for a process's repeat of one whose answer it lost.

    A new process lists what stands before it writes. One that is shown an old list can't know
    what was done, and may do it again.
    """
    if any(isinstance(fault, OldList) for fault in run.plan.faults):
        return
    lost = Counter(_repeated(sent) for sent in run.trace.sent if _is_lost(sent))
    for sent in run.trace.sent:
        if not _counts(sent) or sent.has_effect or not 200 <= sent.code < 300:
            continue
        if lost[_repeated(sent)] > 0:
            lost[_repeated(sent)] -= 1
            continue
        yield Finding(Wrong.NO_EFFECT, f"request {sent.number}: {_titled(sent.write)}")


def _is_lost(sent: Sent) -> bool:
    """Whether a write was carried out and its sender doesn't know."""
    return sent.answered == "lost" and 200 <= sent.code < 300


def _repeated(sent: Sent) -> tuple[int, str, str, str]:
    """What a repeat of a write has in common with it."""
    write = sent.write
    return sent.incarnation, write.verb, write.resource, write.name


def _writes(reference: Reference, run: Ending) -> Iterator[Finding]:
    """Creates and deletes of each object against the reference.

    Of a run that was cut short only what is too much tells something.
    """
    expected, found = reference.writes, run.trace.created_and_deleted()
    for what in sorted(expected.keys() | found.keys()):
        verb, resource, name = what
        surplus = found[what] - expected[what]
        if surplus == 0 or (surplus < 0 and run.error):
            continue
        is_kept = f"{_KINDS.get(resource, resource)}/{name}" in reference.snapshot
        wrong = Wrong.WRONG_DELETE if verb == "delete" and is_kept and surplus > 0 else Wrong.WRITES
        yield Finding(wrong, f"{verb} {resource}/{name}", f"{expected[what]}", f"{found[what]}")


def _counts(sent: Sent) -> bool:
    return sent.write.resource.partition("/")[0] not in NOT_COUNTED


def _titled(write: Write) -> str:
    return f"{write.verb} {write.resource}/{write.name}"
