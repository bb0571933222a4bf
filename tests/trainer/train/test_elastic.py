"""torchrun's end, named."""

import json

import pytest

from fairlead_api.termination import Cause
from fairlead_trainer.train import elastic
from fairlead_trainer.train.launcher import Ended


def error_file(folder, text):
    path = folder / "error.json"
    message = {"message": text, "extraInfo": {"py_callstack": "…", "timestamp": "1"}}
    path.write_text(json.dumps({"message": message}))
    return path


@pytest.mark.parametrize(
    ("text", "ended", "cause"),
    [
        pytest.param(
            "StageFailure: [Diverged] loss is nan", Ended(1), Cause.DIVERGED, id="our-own"
        ),
        pytest.param(
            "StageFailure: [Disrupted] saved as step-1-a1",
            Ended(1, terminated=True),
            Cause.DISRUPTED,
            id="saved-and-ended",
        ),
        pytest.param(
            "RuntimeError: Connection closed by peer", Ended(1), Cause.PEER_LOST, id="peer"
        ),
        pytest.param(
            "SignalException: Process 7 got signal: 15",
            Ended(1, terminated=True),
            Cause.DISRUPTED,
            id="killed-before-it-could-save",
        ),
        pytest.param("ValueError: no", Ended(1), Cause.CRASHED, id="unknown"),
        pytest.param(
            "StageFailure: [Diverged] loss is nan",
            Ended(1, stalled=True),
            Cause.STALLED,
            id="stall",
        ),
    ],
)
def test_error_file_names_the_cause(tmp_path, text, ended, cause):
    failure = elastic.failure(ended, error_file(tmp_path, text), oom_files=())
    assert failure is not None
    assert failure.cause is cause


def test_good_end_is_no_failure(tmp_path):
    assert elastic.failure(Ended(0), error_file(tmp_path, "old news"), oom_files=()) is None


def test_saved_checkpoint_is_told_after_a_sigterm(tmp_path):
    path = error_file(tmp_path, "StageFailure: [Disrupted] saved as step-00000010-a1")
    failure = elastic.failure(Ended(1, terminated=True), path, oom_files=())
    assert failure is not None
    assert failure.message == "saved as step-00000010-a1"


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        pytest.param("low 0\noom 1\noom_kill 1\n", Cause.OUT_OF_MEMORY, id="cgroup-v2"),
        pytest.param("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", Cause.OUT_OF_MEMORY, id="v1"),
        pytest.param("oom_kill_disable 0\noom_kill 0\n", Cause.CRASHED, id="none-killed"),
        pytest.param(None, Cause.CRASHED, id="no-file"),
    ],
)
@pytest.mark.parametrize("text", ["SIGKILL: rank 0 was killed", None], ids=["told", "untold"])
def test_rank_killed_by_the_kernel_is_out_of_memory(tmp_path, events, cause, text):
    counter = tmp_path / "memory.events"
    if events is not None:
        counter.write_text(events)
    path = tmp_path / "none.json" if text is None else error_file(tmp_path, text)
    failure = elastic.failure(Ended(1), path, oom_files=(counter,))
    assert failure is not None
    assert failure.cause is cause


@pytest.mark.parametrize(
    ("text", "killed", "terminated", "cause"),
    [
        pytest.param("RuntimeError: Connection closed by peer", 1, False, "OutOfMemory", id="peer"),
        pytest.param("RuntimeError: Connection closed by peer", 0, False, "PeerLost", id="nobody"),
        pytest.param("SignalException: got signal: 15", 1, True, "Disrupted", id="sigterm"),
        pytest.param("RuntimeError: Connection closed by peer", 0, True, "PeerLost", id="told"),
        pytest.param("StageFailure: [Diverged] loss", 1, False, "Diverged", id="own-words"),
    ],
)
def test_rank_killed_for_memory_explains_what_its_siblings_say(
    tmp_path, text, killed, terminated, cause
):
    counter = tmp_path / "memory.events"
    counter.write_text(f"oom 1\noom_kill {killed}\n")
    ended = Ended(1, terminated=terminated)
    failure = elastic.failure(ended, error_file(tmp_path, text), oom_files=(counter,))
    assert failure is not None
    assert failure.cause == cause


def test_torn_error_file_still_ends_by_name(tmp_path):
    path = tmp_path / "error.json"
    path.write_text('{"message": ')
    failure = elastic.failure(Ended(-9), path, oom_files=())
    assert failure is not None
    assert failure.cause is Cause.CRASHED
    assert "-9" in failure.message
