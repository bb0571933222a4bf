"""Whatever happens in whatever order: traffic has pods, and everything converges."""

import dataclasses

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead_api import names

FINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
REVISIONS = 3
ENGINES = [{}, *({"maxModelLen": 100 + number} for number in range(1, REVISIONS))]

edits = st.one_of(
    st.sampled_from(ENGINES).map(lambda engine: ("edit", {"engine": engine})),
    st.integers(0, 3).map(lambda replicas: ("edit", {"replicas": replicas})),
    st.sampled_from([{"gatewayRefs": []}, {"gatewayRefs": [{"name": "other"}]}]).map(
        lambda spec: ("edit", spec)
    ),
    st.just(("edit", {"engine": {"extraArgs": {"port": "1"}}})),
)
happenings = st.one_of(
    edits,
    st.tuples(st.just("ready"), st.integers(0, REVISIONS), st.integers(0, 3)),
    st.tuples(
        st.just("step"), st.sampled_from([0, 1, 5, 11]), st.sampled_from([None, None, 0, 1, 2, 3])
    ),
    st.tuples(st.just("claim"), st.booleans()),
    st.tuples(
        st.just("gateways"), st.sampled_from(["has_gateway_api", "gateways_answer"]), st.booleans()
    ),
    st.tuples(st.just("image"), st.sampled_from(["server:1", "server:2"])),
    st.tuples(st.just("delete"), st.sampled_from(["Service", "Deployment", "HTTPRoute"])),
)


def happen(world, what, *details):
    if what == "edit":
        world.edit(**details[0])
    elif what == "ready":
        running = sorted(world.running())
        if running:
            world.pods[running[details[0] % len(running)]] = details[1]
    elif what == "step":
        world.step(details[0], details[1])
        assert_traffic_has_pods(world, crashed=details[1] is not None)
    elif what == "claim":
        world.claims["models"] = {"metadata": {}} if details[0] else None
    elif what == "image":
        world.options = dataclasses.replace(world.options, image=details[0])
    elif what == "gateways":
        setattr(world, *details)
    elif what == "delete":
        for key in [key for key in world.objects if key[0] == details[0]][:1]:
            del world.objects[key]


def ready(world, revision):
    deployment = world.objects.get(("Deployment", f"dates-{revision}"))
    if deployment is None:
        return 0
    return min(world.pods.get(revision, 0), deployment["spec"]["replicas"])


def assert_traffic_has_pods(world, *, crashed):
    """Traffic goes to stable, and never to an empty revision while the wanted one answers."""
    stable, candidate = world.status.get("stable"), world.status.get("candidate")
    if not stable:
        return
    if not crashed:
        assert world.selected() == stable
        if world.backend() is not None and world.has_gateway_api:
            assert world.backend() == names.revision_name("dates", stable)
    if candidate and world.body["spec"].get("replicas", 1):
        before = ready(world, stable)
        assert before > 0 or ready(world, candidate) == 0


@settings(max_examples=120, suppress_health_check=FINE)
@given(story=st.lists(happenings, max_size=25))
def test_every_story_converges_on_what_the_spec_says(make_world, story):
    world = make_world(replicas=2)
    for happening in story:
        happen(world, *happening)
    # In the end the cluster is well, and the spec one that can be rendered.
    world.claims["models"] = {"metadata": {}}
    world.has_gateway_api = world.gateways_answer = True
    world.edit(engine=ENGINES[1], replicas=2, gatewayRefs=None)
    world.step(seconds=60)
    world.make_ready()
    world.settle()
    stable = world.status["stable"]
    assert world.running() == {stable}
    assert world.selected() == stable
    assert world.backend() == names.revision_name("dates", stable)
    assert world.named("Service") == ["dates", f"dates-{stable}"]
    assert world.says("Ready") == ("True", "ReplicasReady")
    template = world.get("Deployment", f"dates-{stable}")["spec"]["template"]
    assert "max-model-len" in template["spec"]["containers"][0]["env"][0]["value"]
    assert len(world.named("ControllerRevision")) <= 1 + world.options.kept_revisions


@settings(max_examples=40, suppress_health_check=FINE)
@given(story=st.lists(happenings, max_size=15))
def test_equal_input_gives_an_equal_plan(make_world, story):
    world = make_world(replicas=2)
    for happening in story:
        happen(world, *happening)
    assert world.plan() == world.plan()


@settings(max_examples=40, suppress_health_check=FINE)
@given(story=st.lists(happenings, max_size=15))
def test_plan_carried_out_leaves_nothing_to_do(make_world, story):
    world = make_world(replicas=2)
    for happening in story:
        happen(world, *happening)
    world.settle()
    again = world.plan()
    assert (again.acts, again.status) == ((), world.status)
