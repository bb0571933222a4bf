"""The oracle proves itself: an operator with a bug is caught at it, one without is not.

All runs go side by side from the start; each test waits for those that it asks about.
"""

import asyncio
import itertools

import pytest
import pytest_asyncio

from fairlead_chaos import campaign, lab, oracle, soak
from fairlead_chaos.bugs import BUGS
from fairlead_chaos.faults import Plan
from fairlead_chaos.findings import Wrong
from fairlead_chaos.planted import showings
from fairlead_chaos.planted.impatience import impatient

SHOWINGS = showings.ALL
CONTROLS = [one for one in SHOWINGS if one.faults and not one.has_own_reference]
STORIES = {
    f"{showing.scenario}-{showing.bug}" if showing.has_own_reference else showing.scenario: showing
    for showing in SHOWINGS
}
AT_ITS_END = {Wrong.END_STATE, Wrong.ORPHAN, Wrong.UNREST}
"""What a run that was given up is not judged by."""
NUM_REFERENCES = 2
NUM_NODES = 12  # one a run at the same time


class Runs:
    """Every run that the tests ask about; each is begun once, when it is first asked for."""

    def __init__(self, opened):
        self._lab = opened
        self._begun = {}

    def of(self, showing, bug, plan):
        """One run, by the product where ``bug`` is None."""
        scenario = showings.KNOWN[showing.scenario]
        if bug and showing.caught_as not in AT_ITS_END:
            scenario = impatient(scenario, plan, self._lab.admin)
        return self._once((bug, plan), scenario, plan, bug)

    def reference(self, showing, number):
        """An undisturbed run to measure by."""
        bug = showing.bug if showing.has_own_reference else None
        scenario = showings.KNOWN[showing.scenario]
        return self._once((bug, scenario.name, number), scenario, Plan(scenario.name), bug)

    async def judged_by(self, showing):
        """The reference of a bug's showing."""
        undisturbed = [self.reference(showing, number) for number in range(NUM_REFERENCES)]
        return oracle.learn(showing.scenario, await asyncio.gather(*undisturbed))

    def _once(self, key, *run):
        if key not in self._begun:
            self._begun[key] = asyncio.create_task(self._told(*run))
        return self._begun[key]

    async def _told(self, scenario, plan, bug):
        """One run; again where the machine starved it or its plan's point did not come."""
        for _ in range(1 + campaign.MOST_REPEATS):
            ending = await soak.witnessed(self._lab, {scenario.name: scenario}, plan, bug)
            happened = campaign.is_reached(plan, ending.trace)
            if happened and not soak.is_starved(ending):
                break
        return ending

    async def end(self):
        """Wait for all, so that no failure of a run goes unseen."""
        await asyncio.gather(*self._begun.values())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs(control_plane, tmp_path_factory):
    """A lab in which all runs of this module are under way."""
    scenarios = [showings.KNOWN[name] for name in sorted({one.scenario for one in SHOWINGS})]
    folder = tmp_path_factory.mktemp("lab")
    async with lab.open_lab(control_plane, scenarios, folder, NUM_NODES) as opened:
        found = Runs(opened)
        stuck_first = sorted(SHOWINGS, key=lambda one: one.caught_as is not Wrong.NEVER_SETTLED)
        for showing in stuck_first:
            found.of(showing, showing.bug, showing.plan)
        for showing, number in itertools.product(SHOWINGS, range(NUM_REFERENCES)):
            found.reference(showing, number)
        for showing in CONTROLS:
            found.of(showing, None, showing.plan)
        yield found
        await found.end()


def test_every_bug_is_shown_once():
    assert sorted(showing.bug for showing in SHOWINGS) == sorted(BUGS)


@pytest.mark.cluster
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("showing", SHOWINGS, ids=[one.bug for one in SHOWINGS])
async def test_bug_is_caught_as_what_it_is(runs, showing):
    ending = await runs.of(showing, showing.bug, showing.plan)
    findings = oracle.judge(await runs.judged_by(showing), ending)
    assert campaign.is_reached(showing.plan, ending.trace)
    assert [
        finding
        for finding in findings
        if finding.wrong is showing.caught_as and showing.where in finding.where
    ], [*map(str, findings)]


@pytest.mark.cluster
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("showing", CONTROLS, ids=[one.bug for one in CONTROLS])
async def test_same_plan_finds_nothing_without_the_bug(runs, showing):
    ending = await runs.of(showing, None, showing.plan)
    assert campaign.is_reached(showing.plan, ending.trace)
    assert [*map(str, oracle.judge(await runs.judged_by(showing), ending))] == []


@pytest.mark.cluster
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("showing", STORIES.values(), ids=STORIES.keys())
async def test_undisturbed_runs_agree(runs, showing):
    assert [*map(str, oracle.disagreements(await runs.judged_by(showing)))] == []
