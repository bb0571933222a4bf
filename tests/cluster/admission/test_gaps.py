"""Every constraint of both CRDs earns its place: without it, something wrong passes.

Each CEL rule is left out, and each bound widened by one step, in a version of its own that the API
server serves under a scratch group; the hand-written manifests that the constraint is there for
are offered to it.
"""

import re
from pathlib import Path

import pytest

from fairlead_admission import gaps, scratch, tables, wire
from fairlead_api import crd

pytestmark = pytest.mark.cluster

SUITE = tables.read(Path(__file__).parent)
REFUSED = [row for row in SUITE.rows if row.names is not None]
CRDS = {"FineTuneJob": crd.finetunejob_crd(), "ModelService": crd.modelservice_crd()}
GAPS = {
    (kind, root): gaps.of(body, root) for kind, body in CRDS.items() for root in ("spec", "status")
}
ALL = [gap for found in GAPS.values() for gap in found]
RULES = [gap for gap in ALL if gap.message]
FIRST_COPY = {"spec": 0, "status": 100}
SAID_TWICE = {
    "FineTuneJob-spec.startTimeout-maxLength": "its pattern takes no more characters",
}
"""Bounds that another constraint implies; lists and texts have one all the same, since the API
server reckons by them what a rule may cost."""


def lies_at(path, pattern):
    """Whether a path is the one of a gap, whose items and members stand as stars."""
    spelled = re.escape(pattern).replace(r"\[\*\]", r"\[\d+\]").replace(r"\.\*", r"\..+")
    return re.fullmatch(spelled, path) is not None


def is_about(gap, row, refusal):
    """Whether a row was written for what the gap leaves open."""
    if row.kind != gap.kind or bool(row.subresource) != (gap.root == "status"):
        return False
    if gap.root == "spec" and bool(row.before) != gap.is_transition:
        return False
    if gap.message:
        return gap.message in refusal.message
    if gap.constraint.startswith("required "):
        return lies_at(row.names, f"{gap.path}.{gap.constraint.split()[1]}")
    if gap.constraint == "closed":
        return lies_at(row.names.rpartition(".")[0], gap.path)
    if gap.constraint == "unique":
        return lies_at(row.names.rpartition("[")[0], gap.path)
    return lies_at(row.names, gap.path)


def mover(group, gap):
    """Moves a manifest to where a gap is served."""
    copy, version = divmod(GAPS[gap.kind, gap.root].index(gap), gaps.VERSIONS_A_CRD)
    number = FIRST_COPY[gap.root] + copy
    return lambda body: scratch.moved(body, f"{group}/v{version}", number)


@pytest.fixture(scope="module")
def refusals(cluster, in_scratch, stored):
    """What the whole CRDs answer to each refused row."""

    def ask(one, row):
        return scratch.answer(one, row, in_scratch, stored)

    return wire.each(cluster.kubeconfig, REFUSED, ask)


class Openings:
    """The gaps as they are served under one group."""

    def __init__(self, group, refusals):
        self._group, self._refusals = group, refusals
        self._stored = {}

    def make(self, one):
        """Make the objects that changes start from, in each copy of their kind."""
        for gap in {mover("g", gap)(SUITE.minimal[gap.kind])["kind"]: gap for gap in ALL}.values():
            place = mover(self._group, gap)
            for name, body in SUITE.before.items():
                if body["kind"] == gap.kind:
                    made = scratch.make(one, place(body))
                    self._stored[made["kind"], name] = made

    def first_passing(self, one, gap):
        """The first row that passes the gap; None where all are refused as without it."""
        place = mover(self._group, gap)
        kind = place(SUITE.minimal[gap.kind])["kind"]
        stored = {name: body for (of, name), body in self._stored.items() if of == kind}
        for row, refusal in zip(REFUSED, self._refusals, strict=True):
            if is_about(gap, row, refusal):
                answer = scratch.answer(one, row, place, stored)
                # A rule that reads a missing member refuses too, but can't name it.
                is_unnamed = not gap.message and row.names not in answer.named
                if answer.accepted or is_unnamed:
                    return row.id
        return None


@pytest.fixture(scope="module")
def passing(cluster, refusals, report):
    """By gap: a row that passes it."""
    bodies = [
        body
        for (kind, root), found in GAPS.items()
        for body in gaps.crds(CRDS[kind], found, FIRST_COPY[root])
    ]
    with scratch.installed(cluster.kubeconfig, bodies) as group:
        openings = Openings(group, refusals)
        with wire.Wire(cluster.kubeconfig) as one:
            openings.make(one)
        rows = wire.each(cluster.kubeconfig, ALL, openings.first_passing)
    found = {gap.id: row for gap, row in zip(ALL, rows, strict=True)}
    report["cel_rules"] = len(RULES)
    report["cel_rules_that_earn_their_place"] = sum(found[gap.id] is not None for gap in RULES)
    report["other_constraints"] = len(ALL) - len(RULES)
    report["other_constraints_that_earn_their_place"] = sum(
        found[gap.id] is not None for gap in ALL if not gap.message
    )
    return found


@pytest.mark.parametrize("gap", [pytest.param(gap, id=gap.id) for gap in RULES])
def test_without_a_rule_something_wrong_passes(passing, gap):
    assert passing[gap.id], gap.message


@pytest.mark.parametrize("gap", [pytest.param(gap, id=gap.id) for gap in ALL if not gap.message])
def test_with_a_bound_a_step_wider_something_wrong_passes(passing, gap):
    assert (passing[gap.id] is None) == (gap.id in SAID_TWICE), passing[gap.id]


def test_every_rule_of_the_crds_is_left_out_once():
    whole = [str(body).count("'rule': ") for body in CRDS.values()]
    assert len(RULES) == sum(whole)
    assert len({gap.id for gap in ALL}) == len(ALL)
