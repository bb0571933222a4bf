"""A fixed sample of the campaigns: every plan of sample.jsonl, judged, in each run of the tests.

The plans were drawn by ``python tests/chaos/fairlead_chaos sample``; ``replay`` carries one out
alone. The references are learned here, so the sample follows the product.
"""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from fairlead_chaos import faults, jobways, places, soak, transitions, usage
from fairlead_chaos.scenarios import catalogue
from fairlead_chaos.soak import Course

pytestmark = pytest.mark.cluster
in_module_loop = pytest.mark.asyncio(loop_scope="module")
LINES = (Path(__file__).parent / "sample.jsonl").read_text().splitlines()
PLANS = [faults.from_json(line) for line in LINES]
TOLD = {plan.scenario: catalogue.ALL[plan.scenario] for plan in PLANS}
SCENARIOS = list(TOLD.values())
NUM_PARALLEL = 15  # and a walk
WAYS = [
    pytest.param(way, id=way.name)
    for way in (*transitions.ways(), *jobways.ways())
    if way.name
    in (
        "training: suspend=false to suspend=true",
        "training: suspend=true to suspend=false",
        "plain: model=base to model=trained",
        "plain: model=base to model=untrained to model=trained",
        "plain: gatewayRefs=edge to gatewayRefs=two",
        "plain: gatewayRefs=edge to gatewayRefs=absent to gatewayRefs=none",
        "plain: model=base to model=other",
        "plain: model=base to model=lost",
        "plain: model=base to model=lost to model=base",
        "plain: extraArgs=refused to extraArgs=seed",
        "plain: resources=cpu to resources=no-room",
        "replicated: resources=cpu to resources=no-room to resources=none",
        "replicated: replicas=0 to replicas=3",
        "named: servedModelName=short to servedModelName=none",
        "sized: maxModelLen=64 hurries to maxModelLen=none hurries to maxModelLen=128",
        "plain: replicas=3 hurries to replicas=0 hurries to replicas=1",
    )
]
NUM_WANTED = 60


def named(plan):
    """A plan's id: its scenario and what it does there, in a few words."""
    words = []
    for fault in plan.faults:
        point = faults.point(fault)
        what = getattr(point, "verb", None) or getattr(point, "type", None)
        words.append(f"{type(fault).__name__}-{what}-{point.resource}-{point.nth}")
    return "-".join([plan.scenario, *words])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def used(world):
    """What the operators call from here on, read while they do: the log's files don't last."""
    async with usage.following(world) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def campaign(used, world, tmp_path_factory):
    """The sample's scenarios, each told twice undisturbed."""
    logs = tmp_path_factory.mktemp("findings")
    course = Course(num_parallel=NUM_PARALLEL, most=len(PLANS), seed=0, say=print, logs=logs)
    made = soak.chaos(world, TOLD, course)
    made.undisturbed = await made.learn(TOLD, 2)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def carried_out(campaign, world):
    """All plans carried out side by side, and all ways gone beside them."""
    ways = [param.values[0] for param in WAYS]

    async def walked():
        """One place after the other."""
        found, scratch = {}, {}
        for batch in places.batches(ways, len(ways)):
            found |= (await soak.walked(world, batch, scratch)).found
        return found

    return await asyncio.gather(campaign.run(PLANS), walked())


@pytest.fixture(scope="module")
def tally(carried_out):
    return carried_out[0]


@pytest.fixture(scope="module")
def walked(carried_out):
    return carried_out[1]


def test_sample_is_of_many_scenarios_and_every_kind_of_fault():
    assert len(set(LINES)) >= NUM_WANTED
    kinds = {type(fault) for plan in PLANS for fault in plan.faults}
    assert kinds == set(faults.KINDS.values())
    assert {scenario.kind for scenario in SCENARIOS} == {"FineTuneJob", "ModelService"}
    assert len(WAYS) == 16


@in_module_loop
async def test_undisturbed_runs_end_alike(campaign):
    assert soak.undisturbed(campaign.undisturbed) == []


@pytest.mark.parametrize("plan", PLANS, ids=named)
@in_module_loop
async def test_run_under_a_plan_ends_like_the_undisturbed(tally, plan):
    found = [str(finding) for one in tally.failed if one.plan == plan for finding in one.findings]
    assert found == [], plan.to_json()


@in_module_loop
@pytest.mark.parametrize("way", WAYS)
async def test_resource_ends_as_if_it_had_been_made_so(walked, way):
    assert walked[way.name] == []


@in_module_loop
async def test_operator_complains_of_no_way_and_writes_nothing_in_vain(walked):
    assert {name: lines for name, lines in walked.items() if lines} == {}


@in_module_loop
async def test_every_plan_happened(tally):
    assert dict(tally.missed) == {}
    assert tally.happened.total() == len(PLANS)


@in_module_loop
async def test_no_operator_needed_a_right_that_the_chart_does_not_grant(tally, used):
    taken = used.taken()
    assert taken.num_runs > len(PLANS)
    assert (taken.comparison.missing, taken.unread) == (set(), ())
