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
    ("script", "num_lines", "is_whole"),
    [
        ("echo step 1", 1, True),
        ("echo step 1; exit 1", 1, False),
        ("echo is waiting to start: ContainerCreating >&2; exit 1", 0, False),
        ("exit 0", 0, False),
    ],
    ids=["it ran to its end", "cut off", "kubectl complains", "kubectl just ends"],
)
def test_log_that_is_whole_is_told_from_one_that_is_not(
    kubectl, capfd, script, num_lines, is_whole
):
    kubectl.write_text(f"#!/bin/sh\n{script}\n")
    where = place.Place(kubectl, kubectl, None, None)
    shown = where.show_logs("make-base", "units")
    assert (shown.num_lines, shown.is_whole) == (num_lines, is_whole)
    assert ("    step 1\n" in capfd.readouterr().out) is (num_lines > 0)


def test_log_that_was_cut_off_goes_on_where_it_was(kubectl, tmp_path, capfd):
    kubectl.write_text(
        f"""#!/bin/sh
case "$*" in
  *"get job"*) [ -e {tmp_path}/twice ] && echo Complete;;
  *logs*--request-timeout=120s*)
    echo step 1
    if [ -e {tmp_path}/once ]; then touch {tmp_path}/twice; echo step 2
    else touch {tmp_path}/once; exit 1; fi;;
esac
exit 0
"""
    )
    story.wait_for_base(place.Place(kubectl, kubectl, None, None))
    said = capfd.readouterr().out
    assert [said.count(line) for line in ("    step 1\n", "    step 2\n")] == [1, 1]


def test_what_the_bases_pod_waits_for_is_told_once(kubectl, tmp_path, capfd):
    kubectl.write_text(
        f"""#!/bin/sh
case "$*" in
  *"get pods"*) echo "ErrImagePull  no such image"; echo x >> {tmp_path}/asked;;
  *"get job"*) [ "$(wc -l < {tmp_path}/asked)" -ge 2 ] && echo Complete;;
  *logs*) exit 1;;
esac
exit 0
"""
    )
    (tmp_path / "asked").touch()
    story.wait_for_base(place.Place(kubectl, kubectl, None, None))
    assert capfd.readouterr().out.count("its pod waits: ErrImagePull no such image") == 1


def test_base_that_is_never_made_ends_the_demo(kubectl, monkeypatch):
    monkeypatch.setattr(story, "_BASE_PATIENCE_SECONDS", -1)
    kubectl.write_text("#!/bin/sh\n")
    with pytest.raises(errors.ClusterError, match="job/make-base is not done after"):
        story.wait_for_base(place.Place(kubectl, kubectl, None, None))


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
