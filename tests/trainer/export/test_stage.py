"""What Train ended with becomes an artifact that verifies, and nothing else does."""

import json
import shutil
import stat

import pytest

from fairlead_api.artifact import ARTIFACT_FILE, ArtifactRecord, content_digest
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause, PreparedData, Termination, TrainingResult
from fairlead_trainer import storage
from fairlead_trainer.checkpoint import CheckpointStore
from fairlead_trainer.export import publishing, selection, stage
from fairlead_trainer.failures import StageFailure

MODEL = {
    "config.json": "{}",
    "generation_config.json": "{}",
    "model-00001-of-00002.safetensors": "first",
    "model-00002-of-00002.safetensors": "second",
    "model.safetensors.index.json": "{}",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "chat_template.jinja": "{{ messages }}",
}
ADAPTER = {
    "adapter_config.json": json.dumps({"base_model_name_or_path": "/mnt/claims/demo/x", "r": 8}),
    "adapter_model.safetensors": "adapter",
    "tokenizer.json": "{}",
}
STATES = {
    "training_args.bin": "pickle",
    "optimizer.pt": "pickle",
    "scheduler.pt": "pickle",
    "rng_state_0.pth": "pickle",
    "trainer_state.json": "{}",
    "zero_to_fp32.py": "code",
    "latest": "global_step10",
    "global_step10/mp_rank_00_model_states.pt": "pickle",
}


def tell(settings, of_stage, **told):
    """Put an earlier stage's result into storage."""
    done = Termination(cause=Cause.SUCCEEDED, stage=of_stage, **told)
    path = settings.locate(settings.run.result_file(of_stage))
    storage.write_file(path, done.model_dump_json(by_alias=True).encode())


@pytest.fixture
def trained(settle):
    """Settings of an Export attempt behind a committed checkpoint."""

    def make(files, step=10, attempt=1, **spec):
        settings = settle(Stage.EXPORT, attempt=attempt, **spec)
        prepared = PreparedData(digest="sha256:data", num_rows=1, format="Text")
        tell(settings, Stage.PREPARE, prepared=prepared)
        store = CheckpointStore(settings.folder / "checkpoints", attempt)
        store.claim()
        written = store.aside / f"checkpoint-{step}"
        for name, content in (files | STATES).items():
            storage.write_file(written / name, content.encode())
        (written / next(iter(files))).chmod(0o600)
        path = store.commit(written, step).path.relative_to(settings.folder).as_posix()
        training = TrainingResult(step=step, world_size=1, checkpoint=path)
        tell(settings, Stage.TRAIN, training=training)
        return settings

    return make


def names_in(folder):
    return {path.relative_to(folder).as_posix() for path in storage.files_below(folder)}


def test_model_is_published_with_its_tokenizer_and_nothing_else(trained):
    settings = trained(MODEL)
    end = stage.run(settings)
    folder = settings.folder / "artifact"
    assert names_in(folder) == set(MODEL) | {ARTIFACT_FILE}
    assert end.artifact is not None
    assert end.artifact.kind == "Model"
    assert end.artifact.uri == "pvc://demo/finetunejobs/job/u1/artifact"
    assert (end.artifact.base_model, end.artifact.dataset_digest) == (
        "pvc://demo/bases/dates",
        "sha256:data",
    )


def test_record_names_every_file_and_verifies(trained):
    settings = trained(MODEL)
    end = stage.run(settings)
    folder = settings.folder / "artifact"
    record = ArtifactRecord.model_validate_json((folder / ARTIFACT_FILE).read_bytes())
    assert {file.path for file in record.files} == set(MODEL)
    assert storage.mismatch(folder, record.files) is None
    assert record.digest == content_digest(record.files)
    assert record.size_bytes == sum(len(content) for content in MODEL.values())
    assert publishing.head(record) == end.artifact


def test_files_are_readable_by_the_servers_user(trained):
    settings = trained(MODEL)
    stage.run(settings)
    folder = settings.folder / "artifact"
    assert {stat.S_IMODE(path.stat().st_mode) for path in storage.files_below(folder)} == {0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_adapter_names_its_base_by_uri(trained):
    settings = trained(ADAPTER, tuning={"type": "LoRA"}, output={"mergeAdapter": False})
    end = stage.run(settings)
    folder = settings.folder / "artifact"
    assert end.artifact is not None
    assert end.artifact.kind == "Adapter"
    assert names_in(folder) == set(ADAPTER) | {ARTIFACT_FILE}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "pvc://demo/bases/dates"


def test_checkpoint_that_train_ended_with_is_exported(trained):
    trained(MODEL | {"config.json": '{"step": 10}'})
    settings = trained(MODEL | {"config.json": '{"step": 20}'}, step=20)
    stage.run(settings)
    assert json.loads((settings.folder / "artifact/config.json").read_text()) == {"step": 20}


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: (path / "model.safetensors.index.json").unlink(), id="file"),
        pytest.param(lambda path: (path / "config.json").write_text("[]"), id="bits"),
        pytest.param(shutil.rmtree, id="folder"),
    ],
)
def test_broken_checkpoint_gives_way_to_no_older_one(trained, harm):
    trained(MODEL)
    settings = trained(MODEL, step=20)
    harm(settings.folder / "checkpoints/step-00000020-a1")
    with pytest.raises(StageFailure, match="step-00000020-a1, which Train ended with, does not"):
        stage.run(settings)
    assert not (settings.folder / "artifact").exists()


def test_published_artifact_is_found_again(trained, monkeypatch):
    settings = trained(MODEL)
    first = stage.run(settings)
    monkeypatch.setattr(stage, "_export", lambda *_arguments: pytest.fail("exported again"))
    assert stage.run(settings).artifact == first.artifact


def test_harmed_artifact_is_published_anew(trained):
    settings = trained(MODEL)
    first = stage.run(settings)
    (settings.folder / "artifact/config.json").write_text("{ }")
    assert stage.run(settings).artifact == first.artifact
    assert (settings.folder / "artifact/config.json").read_text() == "{}"


@pytest.mark.parametrize("missing", ["config.json", "safetensors"])
def test_checkpoint_without_a_model_is_refused(trained, missing):
    files = {name: content for name, content in MODEL.items() if not name.endswith(missing)}
    settings = trained(files)
    with pytest.raises(StageFailure, match="holds no config.json or no safetensors"):
        stage.run(settings)
    assert not (settings.folder / "artifact").exists()
    assert not list(settings.folder.glob(".artifact*"))


def test_export_without_trains_result_is_refused(settle):
    with pytest.raises(StageFailure, match="Train's result is gone"):
        stage.run(settle(Stage.EXPORT))


def test_export_without_a_checkpoint_is_refused(settle):
    settings = settle(Stage.EXPORT)
    tell(settings, Stage.TRAIN, training=TrainingResult(step=1, world_size=1))
    with pytest.raises(StageFailure, match="tells of no checkpoint"):
        stage.run(settings)


@pytest.mark.parametrize("name", ["weights.bin", "weights.pt", "weights.pkl"])
def test_pickled_file_never_enters_an_artifact(tmp_path, settle, name):
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / name).write_text("pickle")
    uri = settle(Stage.EXPORT).run.folder
    with pytest.raises(StageFailure, match=f"{name} has no place"):
        publishing.record(tmp_path / "aside", uri, "Model", "base", "digest")


@pytest.mark.parametrize(("files", "kind"), [(MODEL, "Model"), (ADAPTER, "Adapter")])
def test_kind_is_told_by_the_files(tmp_path, files, kind):
    for name in files:
        (tmp_path / name).write_text("")
    assert selection.kind_of(tmp_path) == kind
