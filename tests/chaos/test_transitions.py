"""The ways between specs, and what is wrong with where one led."""

import copy
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from fairlead_api.modelservice import ModelServiceSpec
from fairlead_chaos import jobways, pictures, transitions
from fairlead_chaos.transitions import Good, State, Way

WAYS = list(transitions.ways())
SEED = State("engine", "seed", (("engine.extraArgs", {"seed": "1"}),))
OTHER = State("engine", "other", (("engine.extraArgs", {"max-num-seqs": "4"}),))
REFUSED = State("engine", "refused", (("engine.extraArgs", {"x": "1"}),), Good.NEVER)


def test_a_soak_goes_every_way():
    """Where fewer runs are asked for than there are ways, it would leave some out."""
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    (most,) = re.findall(r"soak --most \$\(or \$\(MOST\),(\d+)\)", makefile)
    assert int(most) >= len(WAYS) + len(list(jobways.ways()))


def test_ways_are_so_many_and_each_is_named_once():
    assert len(WAYS) == 1304
    assert max(Counter(way.name for way in WAYS).values()) == 1


ERRORS_AND_BACK = [
    pytest.param(context, error, id=f"{context}: {error.title}")
    for context in transitions.CONTEXTS
    for error in transitions.STATES
    if error.good is not Good.ALWAYS
]


@pytest.mark.parametrize(("context", "error"), ERRORS_AND_BACK)
def test_from_every_error_ways_lead_back_and_on(context, error):
    good = {
        state.name
        for state in transitions.STATES
        if state.field == error.field and state.good is Good.ALWAYS
    }
    gone = {
        (way.states[0].name, way.end.name)
        for way in WAYS
        if way.context == context and len(way.states) == 3 and way.error == error
    }
    assert gone == set(itertools.product(good, good))


def test_way_without_an_error_leads_back_from_none():
    assert Way((OTHER, SEED), "plain").error is None
    assert Way((SEED, REFUSED), "plain").error is None
    assert Way((REFUSED, SEED), "plain").error == REFUSED


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


def service(
    name="units", stable="rev1", candidate="", ready="True", available="True", said="", **status
):
    conditions = [
        {"type": "Ready", "status": ready, "reason": "R", "message": f"revision {stable}"},
        {"type": "Available", "status": available, "reason": "R", "message": ""},
        {"type": "Progressing", "status": "True", "reason": "RolledOut", "message": said},
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


def test_pictures_of_two_services_of_alike_jobs_are_alike():
    one, other = (
        pictures.picture(service(model={"uri": "u", "fineTuneJobUid": uid}), [])
        for uid in ("0-1", "0-2")
    )
    assert one == other != pictures.picture(service(model={"uri": "u"}), [])


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
        service(candidate="rev2", said="revision rev2: 0 of 1 replicas ready: pod a: no room"),
        [deployment(), deployment(revision="rev2")],
        None,
        id="candidate-waits-beside",
    ),
    pytest.param(
        service(candidate="rev2", said="revision rev2: 0 of 1 replicas ready"),
        [deployment(), deployment(revision="rev2")],
        "can't be told",
        id="nobody-knows-what-it-waits-for",
    ),
    pytest.param(service(), [deployment()], "can't be told", id="not-told"),
    pytest.param(service(ready="False"), [], "Deployment", id="served-no-more"),
    pytest.param(
        service(ready="False", available="False"), [deployment()], "Available", id="unavailable"
    ),
]


def test_error_that_changes_no_pods_ends_as_if_made_so():
    unrouted = State("engine", "unrouted", (("gatewayRefs", []),), Good.UNROUTED)
    way = Way((SEED, unrouted), "plain")
    made = pictures.picture(service(ready="False"), [deployment()])
    found = {transitions.scratch(way).name: made, way.name: copy.deepcopy(made)}
    assert pictures.rests(way, made)
    assert list(pictures.needed(way)) == [transitions.scratch(way)]
    assert pictures.faults(way, found) == []
    left = pictures.picture(service(ready="False"), [deployment(), deployment(kind="HTTPRoute")])
    assert len(pictures.faults(way, found | {way.name: left})) == 1


RESTING = [
    pytest.param(SEED, service(phase="Ready"), True, id="rolled-out"),
    pytest.param(SEED, service(phase="Loading"), False, id="not-ready"),
    pytest.param(REFUSED, service(), False, id="error-not-told"),
    pytest.param(REFUSED, service(ready="False"), True, id="error-told"),
]


@pytest.mark.parametrize(("state", "body", "does"), RESTING)
def test_service_may_be_edited_once_it_is_all_that_it_can_be(state, body, does):
    assert pictures.rests(Way((state,), "plain"), pictures.picture(body, [])) is does


@pytest.mark.parametrize(("body", "children", "said"), ERRORS)
def test_error_leaves_what_serves_alone_and_is_told(body, children, said):
    found = {BEFORE: GOOD, BROKEN.name: pictures.picture(body, children)}
    wrong = pictures.faults(BROKEN, found)
    assert len(wrong) == (said is not None)
    assert all(said in line for line in wrong)
