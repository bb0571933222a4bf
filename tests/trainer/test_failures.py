"""Every end has a name, whoever raised it."""

import errno

import pytest

from fairlead_api.termination import EXIT_CODES, Cause
from fairlead_trainer import failures
from fairlead_trainer.failures import StageFailure


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param("OutOfMemoryError: CUDA out of memory. Tried", Cause.OUT_OF_MEMORY, id="cuda"),
        pytest.param("MemoryError: ", Cause.OUT_OF_MEMORY, id="python-memory"),
        pytest.param(
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried",
            Cause.OUT_OF_MEMORY,
            id="torch-cpu-memory",
        ),
        pytest.param("OSError: [Errno 28] No space left on device", Cause.STORAGE_FULL, id="disk"),
        pytest.param("OSError: [Errno 122] Disk quota exceeded", Cause.STORAGE_FULL, id="quota"),
        pytest.param(
            "RuntimeError: PytorchStreamWriter failed writing file data/1: file write failed",
            Cause.STORAGE_FULL,
            id="torch-save",
        ),
        pytest.param(
            "RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.1]",
            Cause.PEER_LOST,
            id="gloo-closed",
        ),
        pytest.param(
            "RuntimeError: [../pair.cc] Timed out waiting 1800000ms for recv operation",
            Cause.PEER_LOST,
            id="gloo-timeout",
        ),
        pytest.param("DistBackendError: NCCL error in: x", Cause.PEER_LOST, id="nccl"),
        pytest.param("KeyError: 'weight'", Cause.CRASHED, id="anything-else"),
        pytest.param("", Cause.CRASHED, id="silence"),
    ],
)
def test_cause_is_told_from_the_words(text, cause):
    assert failures.name_cause(text)[0] is cause


def test_memory_explains_a_lost_peer_that_its_text_quotes():
    text = "RuntimeError: Connection closed by peer\nOutOfMemoryError: CUDA out of memory"
    assert failures.name_cause(text)[0] is Cause.OUT_OF_MEMORY


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.SUCCEEDED])
def test_our_own_failure_keeps_its_cause_through_a_text(cause):
    failure = StageFailure(cause, "dataset a, file b, line 3: expected\nmore")
    text = f"{type(failure).__name__}: {failure}"
    assert failures.name_cause(text) == (cause, "dataset a, file b, line 3: expected\nmore")
    assert failures.name_cause(f"RuntimeError: {text}")[0] is cause


def test_crash_keeps_the_last_line_for_the_user():
    text = "Traceback (most recent call last):\n  File x\nKeyError: 'weight'\n\n"
    assert failures.name_cause(text) == (Cause.CRASHED, "KeyError: 'weight'")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_known_by_its_number(code):
    assert failures.of_exception(OSError(code, "voll")).cause is Cause.STORAGE_FULL


def behind(error, cause):
    """An exception that a library raised while it handled another."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        pytest.param(ValueError("no such architecture"), Cause.MODEL_ERROR, id="content"),
        pytest.param(OSError("it looks like no valid JSON"), Cause.MODEL_ERROR, id="words"),
        pytest.param(FileNotFoundError(errno.ENOENT, "gone"), Cause.MODEL_ERROR, id="no-file"),
        pytest.param(
            RuntimeError("CUDA out of memory. Tried 2 GiB"), Cause.OUT_OF_MEMORY, id="memory"
        ),
        pytest.param(RuntimeError("Connection closed by peer"), Cause.PEER_LOST, id="peer"),
        pytest.param(OSError(errno.EIO, "Input/output error"), Cause.CRASHED, id="io"),
        pytest.param(OSError(errno.ESTALE, "Stale file handle"), Cause.CRASHED, id="stale"),
        pytest.param(OSError(errno.ETIMEDOUT, "timed out"), Cause.CRASHED, id="timeout"),
        pytest.param(
            behind(OSError("unable to load vocabulary"), OSError(errno.ESTALE, "stale")),
            Cause.CRASHED,
            id="stale-behind-the-librarys-own",
        ),
    ],
)
def test_what_was_read_is_blamed_only_where_the_machine_explains_nothing(error, cause):
    assert failures.blamed(Cause.MODEL_ERROR, "cannot be loaded", error).cause is cause


def test_named_failure_stays_itself():
    failure = StageFailure(Cause.FENCED, "attempt 2 has taken over")
    assert failures.of_exception(failure) is failure


def test_every_cause_has_an_exit_code():
    assert set(EXIT_CODES) == set(Cause)
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
