"""PID 1's duties, with real processes and real signals."""

import os
import signal
import sys
import threading
import time

import pytest

from fairlead_trainer.train import launcher
from fairlead_trainer.train.launcher import Watch

WAITS = "import time\nwhile True: time.sleep(0.05)\n"
TRAINS = """
import os, pathlib, sys, time
heartbeat, stop = map(pathlib.Path, sys.argv[1:])
heartbeat.touch()
while not stop.exists():
    time.sleep(0.02)
    heartbeat.touch()
sys.exit(7)
"""


@pytest.fixture
def watch(tmp_path):
    return Watch(tmp_path / "heartbeat", tmp_path / "stop", stall_seconds=60, save_seconds=60)


def run(program, watch, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return launcher.run(command, dict(os.environ), watch)


def when(condition, action):
    """Do something once a condition holds, while the main thread runs the launcher."""

    def body():
        deadline = time.monotonic() + 30
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        action()

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        pytest.param("raise SystemExit(0)", 0, id="well"),
        pytest.param("raise SystemExit(3)", 3, id="code"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -9, id="signal"),
    ],
)
def test_childs_end_is_returned(program, code, watch):
    ended = run(program, watch)
    assert (ended.code, ended.terminated, ended.stalled) == (code, False, False)


def test_sigterm_asks_running_ranks_to_save_first(watch):
    thread = when(watch.heartbeat.exists, sigterm)
    ended = run(TRAINS, watch, watch.heartbeat, watch.stop)
    thread.join()
    assert (ended.code, ended.terminated) == (7, True)


def test_sigterm_before_the_first_step_ends_at_once(watch, tmp_path):
    started = tmp_path / "started"
    program = f"open({str(started)!r}, 'w').close()\n" + WAITS
    thread = when(started.exists, sigterm)
    ended = run(program, watch)
    thread.join()
    assert (ended.code, ended.terminated) == (-signal.SIGTERM, True)


def test_child_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "_KILL_AFTER_SECONDS", 0.2)
    watch = Watch(tmp_path / "heartbeat", tmp_path / "stop", stall_seconds=60, save_seconds=0.1)
    started = tmp_path / "started"
    program = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(started)!r}, 'w').close()\n" + WAITS
    )
    thread = when(started.exists, sigterm)
    ended = run(program, watch)
    thread.join()
    assert (ended.code, ended.terminated) == (-signal.SIGKILL, True)


def test_standstill_after_the_first_step_ends_the_run(tmp_path):
    watch = Watch(tmp_path / "heartbeat", tmp_path / "stop", stall_seconds=1, save_seconds=60)
    program = f"open({str(watch.heartbeat)!r}, 'w').close()\n" + WAITS
    ended = run(program, watch)
    assert (ended.code, ended.stalled, ended.terminated) == (-signal.SIGTERM, True, False)


def test_waiting_for_peers_before_the_first_step_is_no_standstill(tmp_path):
    watch = Watch(tmp_path / "heartbeat", tmp_path / "stop", stall_seconds=0, save_seconds=60)
    assert run("import time; time.sleep(1.5)", watch).stalled is False


def test_orphans_are_buried(watch, tmp_path):
    """As PID 1 it is given every orphan; here the kernel is asked to do the same."""
    import ctypes

    subreaper = 36
    libc = ctypes.CDLL(None)
    libc.prctl(subreaper, 1)
    pid_file = tmp_path / "pid"
    program = (
        "import os, time\n"
        "reader, writer = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        f"        open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.close(writer)\n"
        "os.read(reader, 1)  # ends with the orphan\n"
        f"grave = '/proc/' + open({str(pid_file)!r}).read()\n"
        "deadline = time.monotonic() + 60\n"
        "while os.path.exists(grave) and time.monotonic() < deadline:\n"
        "    time.sleep(0.02)\n"
        "raise SystemExit(os.path.exists(grave))\n"
    )
    try:
        assert run(program, watch).code == 0
    finally:
        libc.prctl(subreaper, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_signals_are_given_back(watch):
    before = signal.getsignal(signal.SIGTERM)
    run("raise SystemExit(0)", watch)
    assert signal.getsignal(signal.SIGTERM) is before


def test_waiting_for_a_lost_peer_ends_with_sigterm():
    thread = when(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, sigterm)
    assert launcher.wait_for_sigterm(30) is True
    thread.join()


def test_waiting_for_a_lost_peer_ends_by_itself():
    assert launcher.wait_for_sigterm(0.1) is False
