"""Whatever happens in whatever order, both planners do no harm and come to rest."""

import pytest

from fairlead_model.explore import MOST_CALM_STEPS, explore
from fairlead_model.scenarios import SCENARIOS
from fairlead_model.trace import Recorded, shrink

MOST_STEPS_TO_REST = 200
"""From any state; a wait and the end of a pod are steps, and so is each write."""


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_state_is_harmless_and_comes_to_rest(name):
    scenario = SCENARIOS[name]
    model = scenario.model()
    found = explore(model, scenario.budget, scenario.sample)
    if found.violation is not None:
        recorded = Recorded(name, shrink(model, found.violation))
        pytest.fail(f"keep this as a file for --replay: {recorded.as_object()}")
    assert found.states >= scenario.sample or found.is_complete
    assert found.longest_calm <= MOST_STEPS_TO_REST < MOST_CALM_STEPS


def test_sample_is_as_large_as_the_docs_say():
    assert sum(scenario.sample for scenario in SCENARIOS.values()) >= 100_000


def test_scenarios_hold_every_disturbance_there_is():
    from fairlead_model import serving_world, training_world

    menus = [scenario.menu for scenario in SCENARIOS.values()]
    assert frozenset().union(*menus) == training_world.MENU | serving_world.MENU
    alone = [scenario.menu for scenario in SCENARIOS.values() if not scenario.lagging]
    assert frozenset().union(*alone) == training_world.MENU | serving_world.MENU


def test_search_without_disturbances_ends_by_itself():
    """The undisturbed life of a job has so many states and one end: Complete."""
    model = SCENARIOS["train-users"].model()
    found = explore(model, budget=0, most=10_000)
    assert found.is_complete
    assert found.violation is None
    assert found.depth == 44


@pytest.mark.parametrize("seed", [None, 3], ids=["breadth first", "drawn"])
def test_equal_searches_find_equal_states(seed):
    scenario = SCENARIOS["serve-users"]
    one, other = (explore(scenario.model(), 2, 500, seed) for _ in range(2))
    assert one == other


def test_seeds_lead_elsewhere():
    scenario = SCENARIOS["train-users"]
    depths = {explore(scenario.model(), 2, 800, seed).transitions for seed in range(5)}
    assert len(depths) > 1
