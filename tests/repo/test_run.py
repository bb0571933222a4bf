"""A run of the tests that hangs is interrupted and tells where it was."""

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HANGS = """
import pathlib, threading

def test_hangs(tmp_path):
    pathlib.Path({begun!r}).touch()
    threading.Event().wait(600)
"""


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("fairlead_tests_run", ROOT / "tests/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_process_that_ends_in_time_gives_its_code(script):
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    assert script.finish(process, time.monotonic() + 300, seconds=300) == 3


def test_process_that_goes_on_is_left_alone(script):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert script.finish(process, time.monotonic() + 300, seconds=0.1) is None
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def hanging(tmp_path, *options):
    """A pytest run whose one test hangs by now."""
    begun = tmp_path / "begun"
    (tmp_path / "test_hangs.py").write_text(HANGS.format(begun=str(begun)))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    # A shell's background ignores interrupts; here nothing may depend on how the tests are run.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(tmp_path)]
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, preexec_fn=_heed_interrupts
        )
    try:
        deadline = time.monotonic() + 120
        while not begun.exists():
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.05)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, log


def test_run_out_of_time_is_interrupted_and_tells_where_it_was(script, tmp_path, capsys):
    process, log = hanging(tmp_path)
    assert script.finish(process, time.monotonic(), seconds=60) == 2
    report = log.read_text()
    assert "KeyboardInterrupt" in report
    assert "test_hangs.py" in report
    assert "out of time" in capsys.readouterr().out


def test_process_that_ignores_an_interrupt_is_killed(script, monkeypatch):
    monkeypatch.setattr(script, "GRACE_SECONDS", 0.1)
    deaf = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    assert script.finish(process, time.monotonic()) == -9
    process.communicate()


def test_test_that_hangs_fails_alone_and_tells_where_it_was(tmp_path):
    process, log = hanging(tmp_path, "--timeout=5", "--timeout-method=signal")
    assert process.wait(timeout=120) == 1
    assert "Timeout" in log.read_text()


def test_every_tier_has_a_limit_for_each_test(script):
    assert [name for name, run in script.PYTEST_RUNS.items() if "--timeout=1800" not in run] == []
