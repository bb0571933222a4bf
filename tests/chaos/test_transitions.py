"""The ways between specs, and what is wrong with where one led."""

import copy
import itertools
from collections import Counter

import pytest

from fairlead_api.modelservice import ModelServiceSpec
from fairlead_chaos import pictures, transitions
from fairlead_chaos.transitions import Good, State, Way

WAYS = list(transitions.ways())
SEED = State("engine", "seed", (("engine.extraArgs", {"seed": "1"}),))
OTHER = State("engine", "other", (("engine.extraArgs", {"max-num-seqs": "4"}),))
REFUSED = State("engine", "refused", (("engine.extraArgs", {"x": "1"}),), Good.NEVER)


def test_ways_are_many_and_each_is_named_once():
    assert len(WAYS) >= 640
    assert max(Counter(way.name for way in WAYS).values()) == 1


def test_every_mutable_field_has_states():
    spec = set(ModelServiceSpec.model_json_schema(by_alias=True)["properties"])
    paths = {path for state in transitions.STATES for path, _ in state.change}
    assert spec - {path.split(".")[0] for path in paths} == {"gatewayRefs"}  # by a scenario


@pytest.mark.parametrize(
    "way",
    {way.states[0].name + way.states[0].field: way for way in WAYS}.values(),
    ids=lambda way: way.name,
)
def test_spec_of_every_state_can_be_read(way):
    ModelServiceSpec.model_validate(transitions.spec(way.states[0], way.context))


@pytest.mark.parametrize("way", WAYS[::7], ids=lambda way: way.name)
def test_edits_lead_to_the_spec_that_is_made_from_scratch(way):
    specs = [transitions.spec(state, way.context) for state in way.states]
    for before, after in itertools.pairwise(specs):
        assert transitions.merged(before, transitions.edit(before, after)) == after


def service(name="units", stable="rev1", candidate="", ready="True", available="True", **status):
    conditions = [
        {"type": "Ready", "status": ready, "reason": "R", "message": f"revision {stable}"},
        {"type": "Available", "status": available, "reason": "R", "message": ""},
    ]
    return {
        "metadata": {"name": name, "namespace": "team", "uid": name, "generation": 4},
        "spec": {"model": {"uri": "pvc://work/base"}},
        "status": {"stable": stable, "candidate": candidate, "conditions": conditions, **status},
    }


def deployment(name="units", revision="rev1", replicas=1, kind="Deployment"):
    head = {"name": f"{name}-{revision}", "labels": {"revision": revision}, "uid": revision}
    spec = {"replicas": replicas, "clusterIP": f"10.0.0.{len(name)}"}
    return {"kind": kind, "metadata": head, "spec": spec}


def test_pictures_of_two_services_of_one_spec_are_alike():
    one = pictures.picture(service(), [deployment()])
    other = service("dates", "rev7", ready="True")
    assert pictures.picture(other, [deployment("dates", "rev7")]) == one


GOOD = pictures.picture(service(), [deployment()])
WRONG = [
    pytest.param(service(), [deployment(replicas=2)], "replicas", id="field-of-a-child"),
    pytest.param(service(), [], "Deployment NAME-STABLE", id="child-missing"),
    pytest.param(
        service(), [deployment(), deployment(revision="rev0")], "NAME-rev0", id="child-left-over"
    ),
    pytest.param(service(ready="False"), [deployment()], "Ready", id="condition"),
    pytest.param(service(phase="Odd"), [deployment()], "phase", id="status"),
]


@pytest.mark.parametrize(("body", "children", "path"), WRONG)
def test_end_unlike_the_one_made_so_is_told_by_its_path(body, children, path):
    way = Way((OTHER, SEED), "plain")
    found = {
        transitions.scratch(way).name: GOOD,
        way.name: pictures.picture(body, children),
    }
    (line,) = pictures.faults(way, found)
    assert path in line
    assert pictures.faults(way, {**found, way.name: copy.deepcopy(GOOD)}) == []


BROKEN = Way((SEED, REFUSED), "plain")
BEFORE = Way((SEED,), "plain").name
ERRORS = [
    pytest.param(service(ready="False"), [deployment()], None, id="told-and-served"),
    pytest.param(
        service(candidate="rev2"),
        [deployment(), deployment(revision="rev2")],
        None,
        id="candidate-waits-beside",
    ),
    pytest.param(service(), [deployment()], "can't be told", id="not-told"),
    pytest.param(service(ready="False"), [], "Deployment", id="served-no-more"),
    pytest.param(
        service(ready="False", available="False"), [deployment()], "Available", id="unavailable"
    ),
]


@pytest.mark.parametrize(("body", "children", "said"), ERRORS)
def test_error_leaves_what_serves_alone_and_is_told(body, children, said):
    found = {BEFORE: GOOD, BROKEN.name: pictures.picture(body, children)}
    wrong = pictures.faults(BROKEN, found)
    assert len(wrong) == (said is not None)
    assert all(said in line for line in wrong)
