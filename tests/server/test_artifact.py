"""What is served is what was trained; everything else is refused, by name."""

import os

import pytest

from fairlead_api.artifact import ARTIFACT_FILE
from fairlead_api.termination import Cause
from fairlead_server import artifact
from fairlead_server.refusal import StartRefused


def refused(folder, mount, digest=""):
    with pytest.raises(StartRefused) as caught:
        artifact.check(folder, mount, digest)
    return caught.value


def test_a_raw_folder_is_checked_without_digests(model, mount):
    checked = artifact.check(model, mount, "")
    assert (checked.num_files, checked.digest) == (4, "")
    assert checked.size_bytes == sum(path.stat().st_size for path in model.iterdir())


def test_a_recorded_folder_has_the_digest_that_was_pinned(model, mount, record):
    written = record(model)
    checked = artifact.check(model, mount, written.digest)
    assert (checked.num_files, checked.digest) == (4, written.digest)
    assert checked.size_bytes == written.size_bytes


def test_a_record_is_checked_even_where_no_digest_was_pinned(model, mount, record):
    record(model)
    (model / "config.json").write_text('{"architectures": ["MistralForCausalLM"]}')
    assert "config.json" in refused(model, mount).message


def flip_a_bit(model):
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)


def grow(model):
    (model / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')


def add(model):
    (model / "chat_template.jinja").write_text("{{ messages }}")


def lose(model):
    (model / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        pytest.param(flip_a_bit, "model.safetensors has sha256:", id="one bit changed"),
        pytest.param(grow, "tokenizer.json has 30 bytes", id="size changed"),
        pytest.param(add, "chat_template.jinja is not in artifact.json", id="file added"),
        pytest.param(lose, "tokenizer.json is in artifact.json but missing", id="file lost"),
    ],
)
def test_any_change_after_training_is_refused_with_the_file_named(
    model, mount, record, damage, named
):
    digest = record(model).digest
    damage(model)
    error = refused(model, mount, digest)
    assert error.cause is Cause.ARTIFACT_REFUSED
    assert named in error.message


def test_a_changed_file_with_a_rewritten_record_differs_from_the_pinned_digest(
    model, mount, record
):
    pinned = record(model).digest
    flip_a_bit(model)
    rewritten = record(model).digest
    error = refused(model, mount, pinned)
    assert rewritten in error.message
    assert f"the ModelService says {pinned}" in error.message


def test_a_record_whose_head_differs_from_its_files_is_refused(model, mount, record):
    record(model, digest="sha256:" + "0" * 64)
    assert "its own head says sha256:000" in refused(model, mount).message


def test_a_pinned_artifact_without_a_record_is_refused(model, mount):
    error = refused(model, mount, "sha256:" + "a" * 64)
    assert f"{ARTIFACT_FILE} is missing" in error.message


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}'], ids=["empty", "list", "no record"])
def test_a_broken_record_is_refused(model, mount, content):
    (model / ARTIFACT_FILE).write_text(content)
    assert f"{ARTIFACT_FILE} is not an artifact record" in refused(model, mount).message


def test_a_lone_adapter_is_refused_with_the_field_that_merges_it(model, mount, record):
    record(model, kind="Adapter")
    assert "spec.output.mergeAdapter" in refused(model, mount).message


def test_a_missing_folder_is_the_models_error(mount):
    error = refused(mount / "nothing", mount)
    assert error.cause is Cause.MODEL_ERROR
    assert "spec.model.uri" in error.message


def test_a_folder_without_weights_is_refused(model, mount):
    (model / "model.safetensors").unlink()
    assert "holds no *.safetensors" in refused(model, mount).message


def test_a_link_within_the_claim_is_followed_and_digested(model, mount, record):
    blob = mount / "blob"
    (model / "model.safetensors").rename(blob)
    (model / "model.safetensors").symlink_to("../blob")
    digest = record(model).digest
    assert artifact.check(model, mount, digest).num_files == 4


def out_of_the_claim(model, outside):
    (model / "extra.json").symlink_to(outside)


def climbing(model, outside):
    (model / "extra.json").symlink_to(os.path.relpath(outside, model))


def to_nothing(model, outside):
    (model / "extra.json").symlink_to("absent.json")


def to_a_folder(model, outside):
    (model.parent / "other").mkdir()
    (model / "extra").symlink_to("../other")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        pytest.param(out_of_the_claim, "extra.json is a link out of the claim", id="absolute"),
        pytest.param(climbing, "extra.json is a link out of the claim", id="relative"),
        pytest.param(to_nothing, "extra.json is a link to nothing", id="dangling"),
        pytest.param(to_a_folder, "extra is a link to a folder", id="folder"),
    ],
)
def test_links_that_lead_astray_are_refused(model, mount, tmp_path, make, named):
    outside = tmp_path / "secret.json"
    outside.write_text("{}")
    make(model, outside)
    error = refused(model, mount)
    assert error.cause is Cause.ARTIFACT_REFUSED
    assert named in error.message


def test_a_model_folder_that_is_a_link_out_of_the_claim_is_refused(model, mount, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (mount / "alias").symlink_to(tmp_path / "elsewhere")
    assert "leads out of its claim" in refused(mount / "alias", mount).message


def test_a_pipe_is_refused_rather_than_read(model, mount):
    os.mkfifo(model / "weights.json")
    assert "weights.json is neither a file nor a folder" in refused(model, mount).message


def test_folders_below_are_checked_as_well(model, mount):
    (model / "original").mkdir()
    (model / "original" / "consolidated.00.pth").write_bytes(b"x")
    assert "original/consolidated.00.pth is a pickle file" in refused(model, mount).message


def test_a_file_that_cannot_be_read_is_the_models_error(model, mount, monkeypatch):
    def denied(path, name):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("fairlead_server.contents.check_file", denied)
    error = refused(model, mount)
    assert error.cause is Cause.MODEL_ERROR
    assert "cannot be read (Permission denied)" in error.message
