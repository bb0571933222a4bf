"""How the demo reaches a cluster: its own, or one of the user's."""

import dataclasses
from pathlib import Path

import pytest

from fairlead_cluster import errors, settings
from fairlead_cluster.demo import place, story


@pytest.fixture
def kubectl(tmp_path):
    """A program that says with which words it was called, and fails when told to."""
    program = tmp_path / "kubectl"
    program.write_text(
        '#!/bin/sh\necho "$@"\ncase "$*" in *broken*) echo sorry >&2; exit 3;; esac\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("kubeconfig", "context", "flags"),
    [
        (Path("/k"), None, "--kubeconfig=/k"),
        (None, "mine", "--context=mine"),
    ],
    ids=["the embedded cluster", "a context of the user's"],
)
def test_tools_are_pointed_at_the_cluster(kubectl, kubeconfig, context, flags):
    where = place.Place(kubectl, kubectl, kubeconfig, context)
    assert where.run("get", "pods", what="look") == f"{flags} get pods\n"


def test_failure_says_what_was_tried_and_the_way_out(kubectl):
    where = place.Place(kubectl, kubectl, None, None)
    with pytest.raises(errors.CommandFailed, match="can't look .*sorry.*run `make demo` again"):
        where.run("broken", what="look")


def test_context_without_a_registry_is_refused_with_the_way_out():
    chosen = dataclasses.replace(settings.load({}), context="mine", registry=None)
    with pytest.raises(errors.ClusterError, match="FAIRLEAD_REGISTRY is not set; set it to"):
        place.open_place(chosen)


def test_resource_that_never_ends_well_ends_the_demo(kubectl, tmp_path, capfd):
    where = place.Place(kubectl, kubectl, tmp_path / "absent", None)
    with pytest.raises(errors.CommandFailed, match="finetunejob/units did not come to its end"):
        where.follow("finetunejob/units", "units", "5s")
    said = capfd.readouterr().out
    assert "$ fairlead wait finetunejob/units -n units --timeout 5s" in said
    assert "fairlead: no cluster to talk to" in said


def test_gateway_without_an_address_is_named(kubectl):
    kubectl.write_text("#!/bin/sh\n")
    where = place.Place(kubectl, kubectl, None, None)
    with pytest.raises(errors.ClusterError, match="fairlead-system/fairlead has no address"):
        story.gateway_of(where)


def test_seeds_are_fresh_and_small_enough_to_type():
    seeds = {story.fresh_seed() for _ in range(3)}
    assert all(0 <= seed < 10**9 for seed in seeds)
