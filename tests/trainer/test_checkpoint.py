"""A checkpoint is whole or absent, whatever kills its writer."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from fairlead_api.termination import Cause
from fairlead_trainer import storage
from fairlead_trainer.checkpoint import FENCE, LATEST, MANIFEST, CheckpointStore
from fairlead_trainer.failures import StageFailure


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def claimed(folder, attempt=1):
    store = CheckpointStore(folder, attempt)
    store.claim()
    return store


def write(store, step, content=b"weights"):
    """What a trainer leaves aside."""
    written = store.aside / f"checkpoint-{step}"
    (written / "global_step").mkdir(parents=True)
    (written / "model.safetensors").write_bytes(content)
    (written / "global_step/rank0.pt").write_bytes(b"state of " + content)
    return written


def saved(store, step, content=b"weights"):
    return store.commit(write(store, step, content), step)


def test_committed_checkpoint_is_found_with_its_content(folder):
    store = claimed(folder)
    saved(store, 10)
    newest = store.newest()
    assert newest is not None
    assert (newest.step, newest.attempt) == (10, 1)
    assert (newest.path / "global_step/rank0.pt").read_bytes() == b"state of weights"
    assert (folder / LATEST).read_text() == newest.path.name == "step-00000010-a1"


def test_nothing_is_found_where_nothing_was_committed(folder):
    assert CheckpointStore(folder, 1).newest() is None
    store = claimed(folder)
    write(store, 10)
    assert store.newest() is None


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: (path / "model.safetensors").unlink(), id="file-missing"),
        pytest.param(
            lambda path: (path / "model.safetensors").write_bytes(b"w"), id="file-too-short"
        ),
        pytest.param(
            lambda path: (path / "model.safetensors").write_bytes(b"WEIGHTS"), id="bits-flipped"
        ),
        pytest.param(lambda path: (path / MANIFEST).unlink(), id="manifest-missing"),
        pytest.param(lambda path: (path / MANIFEST).write_text("{"), id="manifest-torn"),
        pytest.param(shutil.rmtree, id="folder-gone"),
    ],
)
def test_broken_newest_gives_way_to_the_one_before(folder, harm):
    store = claimed(folder)
    saved(store, 10)
    harm(saved(store, 20).path)
    newest = store.newest()
    assert newest is not None
    assert newest.step == 10


class Killed(BaseException):
    """The process ends here."""


def syscalls_of_a_commit(tmp_path, monkeypatch):
    """How often a commit changes or syncs the file system."""
    return commit_until(tmp_path / "count", None, monkeypatch)


def commit_until(folder, fatal, monkeypatch):
    """Commit step 20 after step 10, killed before the call with number `fatal`."""
    store = claimed(folder)
    saved(store, 10)
    written = write(store, 20, b"new weights")
    count = 0

    def counting(call):
        def counted(*args, **kwargs):
            nonlocal count
            if count == fatal:
                raise Killed
            count += 1
            return call(*args, **kwargs)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counting(os.fsync))
        patch.setattr(Path, "replace", counting(Path.replace))
        patch.setattr(Path, "rename", counting(Path.rename))
        patch.setattr(Path, "unlink", counting(Path.unlink))
        if fatal is None:
            store.commit(written, 20)
        else:
            with pytest.raises(Killed):
                store.commit(written, 20)
    return count


def test_kill_before_any_step_of_a_commit_leaves_old_or_new(tmp_path, monkeypatch):
    total = syscalls_of_a_commit(tmp_path, monkeypatch)
    assert total > 10
    seen = []
    for fatal in range(total):
        folder = tmp_path / str(fatal)
        commit_until(folder, fatal, monkeypatch)
        newest = claimed(folder, attempt=2).newest()
        assert newest is not None
        content = (newest.path / "model.safetensors").read_bytes()
        assert content == {10: b"weights", 20: b"new weights"}[newest.step]
        seen.append(newest.step)
    assert seen == sorted(seen)
    assert set(seen) == {10, 20}


def test_older_attempt_cannot_commit_once_a_newer_one_has_begun(folder):
    old = claimed(folder, 1)
    saved(old, 10)
    written = write(old, 20)
    new = claimed(folder, 2)
    assert not written.exists()
    with pytest.raises(StageFailure, match="attempt 2 has taken over") as caught:
        old.commit(write(old, 30), 30)
    assert caught.value.cause is Cause.FENCED
    assert [(found.attempt, found.step) for found in new.committed()] == [(1, 10)]


def test_older_attempt_cannot_claim_any_more(folder):
    claimed(folder, 2)
    with pytest.raises(StageFailure, match="steps back"):
        claimed(folder, 1)
    assert (folder / FENCE).read_text() == "2"


def test_same_attempt_may_claim_again(folder):
    claimed(folder, 2)
    claimed(folder, 2)
    assert (folder / FENCE).read_text() == "2"


def test_pods_of_one_attempt_may_claim_at_the_same_time(folder):
    written = write(claimed(folder, 1), 20)
    for number in range(500):
        (written / f"global_step/rank{number}.pt").write_bytes(b"state")
    begin = Barrier(8)

    def pod(_number):
        begin.wait()
        claimed(folder, 2)

    with ThreadPoolExecutor(8) as pods:
        assert list(pods.map(pod, range(8))) == [None] * 8
    assert sorted(path.name for path in folder.iterdir()) == [".lock", FENCE]


def test_claim_clears_what_a_killed_pruning_left(folder, monkeypatch):
    store = claimed(folder)
    saved(store, 10)
    saved(store, 20)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda _path: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            store.prune(1)
    assert [found.step for found in store.committed()] == [20]
    claimed(folder, 2)
    names = {path.name for path in folder.iterdir()}
    assert names == {".lock", FENCE, LATEST, "step-00000020-a1"}


def test_newer_attempts_checkpoint_wins_over_a_later_step_of_an_older_one(folder):
    saved(claimed(folder, 1), 120)
    new = claimed(folder, 2)
    saved(new, 110)
    newest = new.newest()
    assert newest is not None
    assert (newest.attempt, newest.step) == (2, 110)


def test_same_step_can_be_committed_again(folder):
    store = claimed(folder)
    saved(store, 10, b"first")
    found = saved(store, 10, b"second")
    assert (found.path / "model.safetensors").read_bytes() == b"second"


@pytest.mark.parametrize(("keep", "left"), [(1, [40]), (2, [40, 30]), (9, [40, 30, 20, 10])])
def test_pruning_keeps_the_newest(folder, keep, left):
    store = claimed(folder)
    for step in (10, 20, 30, 40):
        saved(store, step)
    store.prune(keep)
    assert [found.step for found in store.committed()] == left


def test_pruning_keeps_no_broken_one_in_place_of_a_good_one(folder):
    old = claimed(folder)
    for step in (50, 100):
        saved(old, step)
    (folder / "step-00000100-a1/model.safetensors").write_bytes(b"WEIGHTS")
    new = claimed(folder, 2)
    assert new.newest().step == 50
    saved(new, 60)
    new.prune(2)
    assert [(found.attempt, found.step) for found in new.committed()] == [(2, 60), (1, 50)]


def test_full_disk_leaves_the_older_checkpoint(folder, monkeypatch):
    store = claimed(folder)
    saved(store, 10)
    written = write(store, 20)
    with monkeypatch.context() as patch:
        patch.setattr(
            storage, "sync_tree", lambda _folder: (_ for _ in ()).throw(OSError(28, "full"))
        )
        with pytest.raises(OSError, match="full"):
            store.commit(written, 20)
    newest = store.newest()
    assert newest is not None
    assert newest.step == 10
