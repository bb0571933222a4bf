"""How the demo reaches a cluster: its own, or one of the user's."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from fairlead_cluster import errors
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
    with pytest.raises(
        errors.CommandFailed, match="can't look .*sorry.*run the same command again"
    ):
        where.run("broken", what="look")


def test_resource_that_never_ends_well_ends_the_demo(kubectl, tmp_path, capfd):
    where = place.Place(kubectl, kubectl, tmp_path / "absent", None)
    with pytest.raises(errors.CommandFailed, match="finetunejob/units did not come to its end"):
        where.follow("finetunejob/units", "units", "5s")
    said = capfd.readouterr().out
    assert "$ fairlead wait finetunejob/units -n units --timeout 5s" in said
    assert "fairlead: no cluster to talk to" in said


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("echo step 1", True),
        ("echo is waiting to start: ContainerCreating >&2; exit 1", False),
        ("exit 0", False),
    ],
    ids=["it runs", "kubectl complains", "kubectl just ends"],
)
def test_log_that_is_not_there_yet_is_told_from_one_that_is(kubectl, capfd, script, shown):
    kubectl.write_text(f"#!/bin/sh\n{script}\n")
    where = place.Place(kubectl, kubectl, None, None)
    assert where.show_logs("make-base", "units") is shown
    assert ("    step 1\n" in capfd.readouterr().out) is shown


@pytest.mark.parametrize(
    ("ends", "error"),
    [("Complete SuccessCriteriaMet", None), ("Failed", "job/make-base failed; see above")],
    ids=["made", "failed"],
)
def test_base_job_is_followed_to_its_end(kubectl, capfd, ends, error):
    kubectl.write_text(f'#!/bin/sh\ncase "$*" in *"get job"*) echo "{ends}";; esac\n')
    where = place.Place(kubectl, kubectl, None, None)
    expected = pytest.raises(errors.ClusterError, match=error) if error else nullcontext()
    with expected:
        story.make_base(where, {"trainer": "reg/fairlead-trainer:1"})
    assert "$ kubectl apply -k examples/01-units" in capfd.readouterr().out


def test_gateway_without_an_address_is_named(kubectl):
    kubectl.write_text("#!/bin/sh\n")
    where = place.Place(kubectl, kubectl, None, None)
    with pytest.raises(errors.ClusterError, match="fairlead-system/fairlead has no address"):
        story.gateway_of(where)


def test_seeds_are_fresh_and_small_enough_to_type():
    seeds = {story.fresh_seed() for _ in range(3)}
    assert all(0 <= seed < 10**9 for seed in seeds)
