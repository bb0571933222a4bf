"""Documents that pass between parts keep their meaning, and names keep their form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_api import artifact, names, runfile
from fairlead_api.artifact import ArtifactFile
from fairlead_api.finetunejob import FineTuneJobSpec
from fairlead_api.finetunestatus import Stage
from fairlead_api.runfile import RunFile

SPEC = FineTuneJobSpec.model_validate(
    {
        "model": {"uri": "pvc://models/base"},
        "datasets": [{"name": "rows", "inline": "{}"}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "store"},
        "deepspeed": {"config": {"zero_optimization": {"overlap_comm": True}}},
    }
)
RUN = RunFile(name="job", namespace="team", uid="u-1", spec=SPEC)


def test_run_file_survives_the_way_through_a_config_map():
    text = RUN.model_dump_json(by_alias=True, exclude_none=True)
    assert RunFile.model_validate_json(text) == RUN


@pytest.mark.parametrize("stage", Stage)
def test_results_lie_in_the_jobs_own_folder(stage):
    expected = f"pvc://store/finetunejobs/job/u-1/results/{stage.lower()}.json"
    assert str(RUN.result_file(stage)) == expected


def test_config_map_datasets_lie_below_one_folder():
    assert runfile.config_dataset_dir("rows") == f"{names.CONFIG_DATASETS_DIR}/rows"


FILES = st.lists(
    st.builds(
        ArtifactFile,
        path=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        size_bytes=st.integers(0, 9),
        digest=st.sampled_from(["sha256:" + "a" * 64, "sha256:" + "b" * 64]),
    ),
    max_size=4,
)


@given(files=FILES, order=st.randoms())
def test_digest_of_a_set_of_files_knows_no_order(files, order):
    shuffled = list(files)
    order.shuffle(shuffled)
    assert artifact.content_digest(tuple(shuffled)) == artifact.content_digest(tuple(files))


@pytest.mark.parametrize(
    "change", [{"path": "c"}, {"size_bytes": 2}, {"digest": "sha256:" + "b" * 64}]
)
def test_digest_moves_with_every_part_of_a_file(change):
    file = ArtifactFile(path="a", size_bytes=1, digest="sha256:" + "a" * 64)
    other = file.model_copy(update=change)
    assert artifact.content_digest((file,)) != artifact.content_digest((other,))


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (names.run_config_name("j"), "j-run"),
        (names.workers_service_name("j"), "j-workers"),
        (names.stage_job_name("j", "Train", 3), "j-train-a3"),
        (names.revision_name("s", "abc"), "s-abc"),
    ],
)
def test_names_of_children(made, name):
    assert made == name


def test_longest_pod_name_is_a_dns_label():
    job = names.stage_job_name("n" * names.MAX_NAME_LENGTH, "Prepare", 999)
    assert len(f"{job}-0-abcde") <= 63


def test_constants_that_must_differ_differ():
    ports = [value for name, value in vars(names).items() if name.startswith("PORT_")]
    variables = [value for name, value in vars(names).items() if name.startswith("ENV_")]
    assert len(set(ports)) == len(ports)
    assert len(set(variables)) == len(variables)
