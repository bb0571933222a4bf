"""Thousands of manifests from a seed: API server, independent judge and ``validate`` say the same.

FAIRLEAD_SEED draws others, FAIRLEAD_MUTATIONS more; a disagreement tells what was done.
"""

import os
import random
from dataclasses import dataclass

import pytest

from fairlead_admission import fields, mutation, scratch, wire
from fairlead_api import manifest, names

pytestmark = pytest.mark.cluster

SEED = int(os.environ.get("FAIRLEAD_SEED", "20261129"))
KINDS = [fields.JOB, fields.SERVICE]
NUM_VALID = 100
NUM_MUTATIONS = int(os.environ.get("FAIRLEAD_MUTATIONS", "2800")) // len(KINDS)
NUM_OLD = 20
NUM_CHANGES = NUM_MUTATIONS // 4


@dataclass(frozen=True)
class Verdict:
    """One manifest and what was said to it."""

    done: tuple[str, ...]
    """What was done to a valid manifest."""
    judged: list[str]
    """Paths of what the judge finds."""
    told: list[str] | None
    """Paths of what validate finds; None where it can't know the object as it was."""
    answer: wire.Answer

    @property
    def is_agreed(self):
        opinions = {self.answer.accepted, not self.judged}
        return len(opinions | (set() if self.told is None else {not self.told})) == 1

    @property
    def is_named(self):
        """Whether the refusals name a place that the judge finds, or one around or in it."""
        others = [self.answer.named] + ([] if self.told is None else [self.told])
        return all(any(touch(a, b) for a in self.judged for b in other) for other in others)


def touch(one, other):
    """Whether two paths are equal, or one lies in the other."""
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}["))


@pytest.fixture(scope="module")
def created(cluster, in_scratch):
    """Verdicts on valid manifests and on mutations of them, by kind."""
    rng = random.Random(SEED)

    def ask(one, case):
        body = case.manifest
        told = [fault.field for fault in manifest.faults(body)]
        answer = scratch.offer(one, in_scratch(body))
        return Verdict(case.changes, fields.faults(body), told, answer)

    found = {}
    for kind in KINDS:
        bases = [mutation.valid(rng, kind, names.API_VERSION) for _ in range(NUM_VALID)]
        cases = [mutation.Mutation(base, ()) for base in bases]
        cases += [mutation.mutate(rng, rng.choice(bases)) for _ in range(NUM_MUTATIONS)]
        found[kind] = wire.each(cluster.kubeconfig, cases, ask)
    return found


@pytest.fixture(scope="module")
def replaced(cluster, in_scratch):
    """Verdicts on mutations offered in the place of the object that they come from, by kind."""
    rng = random.Random(SEED + 1)

    def ask(one, case):
        old, stored, new = case
        answer = scratch.offer_change(one, stored, in_scratch(new.manifest))
        return Verdict(new.changes, fields.faults_of_change(old, new.manifest), None, answer)

    found = {}
    for kind in KINDS:
        objects = []
        with wire.Wire(cluster.kubeconfig) as one:
            for number in range(NUM_OLD):
                old = mutation.valid(rng, kind, names.API_VERSION)
                old["metadata"] = {"name": f"old-{number}", "namespace": "default"}
                objects.append((old, scratch.make(one, in_scratch(old))))
        cases = []
        for _ in range(NUM_CHANGES):
            old, stored = rng.choice(objects)
            new = mutation.mutate(rng, old)
            new.manifest["metadata"]["name"] = old["metadata"]["name"]
            cases.append((old, stored, new))
        found[kind] = wire.each(cluster.kubeconfig, cases, ask)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_all_say_the_same_of_a_creation(created, kind):
    assert [verdict for verdict in created[kind] if not verdict.is_agreed] == []


@pytest.mark.parametrize("kind", KINDS)
def test_all_say_the_same_of_a_change(replaced, kind):
    assert [verdict for verdict in replaced[kind] if not verdict.is_agreed] == []


@pytest.mark.parametrize("kind", KINDS)
def test_refusals_name_what_is_wrong(created, replaced, kind):
    verdicts = created[kind] + replaced[kind]
    assert [verdict for verdict in verdicts if verdict.judged and not verdict.is_named] == []


@pytest.mark.parametrize("kind", KINDS)
def test_generated_valid_manifests_are_all_taken(created, kind):
    valid = [verdict for verdict in created[kind] if not verdict.done]
    assert len(valid) == NUM_VALID
    assert [verdict for verdict in valid if not verdict.answer.accepted] == []


def test_both_verdicts_are_plentiful(created, replaced, report):
    report["seed"], num_refused = SEED, 0
    for name, verdicts in (("creations", created), ("changes", replaced)):
        all_of = [verdict for kind in KINDS for verdict in verdicts[kind]]
        taken = sum(verdict.answer.accepted for verdict in all_of)
        report[f"generated_{name}"] = {"taken": taken, "refused": len(all_of) - taken}
        num_refused += len(all_of) - taken
        assert min(taken, len(all_of) - taken) >= len(all_of) / 10
    num_mutations = NUM_MUTATIONS * len(KINDS)
    assert sum(bool(verdict.done) for kind in KINDS for verdict in created[kind]) == num_mutations
    assert num_refused >= num_mutations * 3 / 4  # more than 2,000, where no other number is asked
