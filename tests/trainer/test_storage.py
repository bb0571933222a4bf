"""Files appear whole, durable and readable."""

import stat

import pytest

from fairlead_trainer import storage


def test_file_replaces_another_whole(tmp_path):
    path = tmp_path / "a/b/file"
    storage.write_file(path, b"old")
    storage.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.write_file(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_synced_tree_is_readable_by_everybody(tmp_path):
    inner = tmp_path / "tree/inner"
    inner.mkdir(parents=True, mode=0o700)
    (inner / "weights").write_bytes(b"x")
    (inner / "weights").chmod(0o600)
    storage.sync_tree(tmp_path / "tree")
    assert stat.S_IMODE((inner / "weights").stat().st_mode) == 0o644
    assert stat.S_IMODE(inner.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        pytest.param(lambda path: path.unlink(), "missing", id="missing"),
        pytest.param(lambda path: path.write_bytes(b"longer than it was"), "bytes", id="size"),
        pytest.param(lambda path: path.write_bytes(b"Content"), "digest", id="content"),
    ],
)
def test_mismatch_names_the_file(tmp_path, harm, told):
    path = tmp_path / "folder/file"
    storage.write_file(path, b"content")
    files = (storage.file_record(tmp_path, path),)
    assert storage.mismatch(tmp_path, files) is None
    harm(path)
    problem = storage.mismatch(tmp_path, files)
    assert problem is not None
    assert "folder/file" in problem
    assert told in problem


def test_removing_what_is_not_there_is_fine(tmp_path):
    storage.remove_tree(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_move_appears_under_its_new_name_only(tmp_path):
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside/file").write_text("x")
    storage.move_folder(tmp_path / "aside", tmp_path / "deep/target")
    assert (tmp_path / "deep/target/file").read_text() == "x"
    assert not (tmp_path / "aside").exists()
