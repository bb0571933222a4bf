"""The search finds what operators of the field got wrong, and finds it again by its trace."""

import re

import pytest

from fairlead_model.explore import explore
from fairlead_model.planted import BUGS
from fairlead_model.scenarios import SCENARIOS
from fairlead_model.trace import replay, shrink

MOST_STATES = 40_000


@pytest.mark.parametrize("name", sorted(BUGS))
def test_planted_bug_is_found_and_is_what_does_the_harm(name):
    bug = BUGS[name]
    scenario = SCENARIOS[bug.scenario]
    model = scenario.model(bug)
    found = explore(model, scenario.budget, MOST_STATES)
    assert found.violation is not None, f"not found in {found.states} states"
    assert re.search(bug.finds, found.violation.harm)
    shortest = shrink(model, found.violation)
    assert len(shortest.trace) <= len(found.violation.trace)
    assert replay(scenario.model(bug), shortest.trace, shortest.calm) == shortest.harm
    assert what_is_wrong_without_the_bug(scenario.model(), found.violation.trace) == ""


def what_is_wrong_without_the_bug(model, events):
    """A sound operator may not come to every step of a faulty one: those are left out."""
    possible = []
    state = model.operator.settled(model.domain.start(len(events)))
    for label in events:
        step = next((step for step in model.steps(state) if step.label == label), None)
        if step is not None:
            if step.harm:
                return step.harm
            possible.append(label)
            state = step.state
    return replay(model, tuple(possible))


def test_bugs_are_of_both_kinds_and_of_plans_and_operators():
    assert len(BUGS) >= 10
    kinds = [SCENARIOS[bug.scenario].is_training for bug in BUGS.values()]
    assert min(kinds.count(True), kinds.count(False)) >= 5
    assert sum(bool(bug.wrap) for bug in BUGS.values()) >= 6
    assert sum(bool(bug.operator) for bug in BUGS.values()) >= 4
