"""Real processes: started once, found by pid and start time, stopped for certain."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead_cluster import errors, processes

FOREVER = ("sleep", "3600")


@pytest.fixture
def supervisor(tmp_path):
    made = processes.Supervisor(tmp_path / "pids", tmp_path / "logs", cgroup=None, namespace=None)
    yield made
    for record in made.pids.glob("*.json"):
        made.stop(record.stem)


def component(*command, **env):
    return processes.Component("one", command, env)


def test_a_running_component_is_not_started_twice(supervisor):
    assert supervisor.start(component(*FOREVER))
    pid = supervisor.pid("one")
    assert not supervisor.start(component(*FOREVER))
    assert supervisor.pid("one") == pid


def test_another_command_replaces_the_process(supervisor):
    supervisor.start(component(*FOREVER))
    old = supervisor.pid("one")
    assert supervisor.start(component("sleep", "3601"))
    assert supervisor.pid("one") not in (None, old)
    assert processes.start_time(old) is None


def test_a_killed_component_is_started_again(supervisor):
    supervisor.start(component(*FOREVER))
    os.kill(supervisor.pid("one"), signal.SIGKILL)
    assert processes.wait(lambda: supervisor.pid("one") is None, 30)
    assert supervisor.start(component(*FOREVER))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda record: {**record, "start_time": 1}, id="pid-was-reused"),
        pytest.param(lambda record: {**record, "pid": 2**22 + 1}, id="pid-is-gone"),
        pytest.param(lambda record: {**record, "start_time": None}, id="died-at-once"),
    ],
)
def test_a_record_of_another_process_is_not_believed(supervisor, change):
    supervisor.start(component(*FOREVER))
    file = supervisor.pids / "one.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(change(record)))
    assert supervisor.pid("one") is None
    os.kill(record["pid"], signal.SIGKILL)


def test_a_torn_record_is_as_good_as_none(supervisor):
    supervisor.pids.mkdir()
    (supervisor.pids / "one.json").write_text('{"pid": ')
    assert supervisor.pid("one") is None


def test_one_that_ignores_sigterm_is_killed(supervisor):
    supervisor.start(component("sh", "-c", "trap '' TERM; echo ready; sleep 3600 & wait; wait"))
    log = supervisor.log("one")
    assert processes.wait(lambda: "ready" in log.read_text(), 30)
    pid = supervisor.pid("one")
    supervisor.stop("one", grace_seconds=0.2)
    assert processes.start_time(pid) is None
    assert not (supervisor.pids / "one.json").exists()
    with contextlib.suppress(ProcessLookupError):  # its child, if it came to have one
        os.killpg(pid, signal.SIGKILL)


def test_process_whose_name_is_no_text_is_known(supervisor):
    """The kernel cuts names at 15 bytes, in the middle of a letter too."""
    rename = "open('/proc/self/comm', 'wb').write(bytes([0xC3])); print('ready', flush=True)"
    supervisor.start(component(sys.executable, "-c", f"{rename}; import time; time.sleep(600)"))
    log = supervisor.log("one")
    assert processes.wait(lambda: "ready" in log.read_text(), 30)
    pid = supervisor.pid("one")
    assert pid in processes.session(pid)
    supervisor.stop("one", grace_seconds=30)


def test_output_and_environment_reach_the_component(supervisor):
    supervisor.start(component("sh", "-c", "echo $GREETING; echo oops >&2", GREETING="hello"))
    log = supervisor.log("one")
    assert processes.wait(lambda: log.read_text() == "hello\noops\n", 30)


def test_proxies_of_the_user_reach_no_component(supervisor, monkeypatch):
    for variable in ("HTTPS_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    supervisor.start(component("sh", "-c", "env; echo that is all"))
    log = supervisor.log("one")
    assert processes.wait(lambda: "that is all" in log.read_text(), 30)
    assert "127.0.0.1:9" not in log.read_text()


def test_a_component_that_dies_is_named_with_its_last_words(supervisor):
    supervisor.start(component("sh", "-c", "echo the port is taken; exit 1"))
    with pytest.raises(errors.ComponentFailed, match=r"one ended by itself.*the port is taken"):
        supervisor.wait_ready("one", lambda: False, 30)


def test_a_component_that_is_never_ready_is_named_with_its_log(supervisor):
    supervisor.start(component(*FOREVER))
    with pytest.raises(errors.ComponentFailed, match="not ready within 0 s") as failed:
        supervisor.wait_ready("one", lambda: False, 0.1)
    assert str(supervisor.log("one")) in failed.value.way_out


def test_a_component_that_said_it_is_ready_is_not_asked_again(supervisor):
    supervisor.start(component(*FOREVER))
    answers = iter([False, True])  # a further one would be none
    supervisor.wait_ready("one", lambda: next(answers), 30)
    assert list(answers) == []


def test_a_large_log_is_put_aside(supervisor, monkeypatch):
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 10)
    supervisor.logs.mkdir()
    supervisor.log("one").write_text("x" * 11)
    supervisor.start(component("true"))
    assert (supervisor.logs / "one.log.1").read_text() == "x" * 11


def test_a_zombie_does_not_count_as_running():
    with subprocess.Popen(["true"]) as child:
        stat = Path(f"/proc/{child.pid}/stat")
        assert processes.wait(lambda: ") Z" in stat.read_text(), 30)
        assert processes.start_time(child.pid) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "(none)"), ("a\nb\nc\nd\n", "b | c | d"), ("only\n", "only")],
    ids=["empty", "many", "one"],
)
def test_last_words(tmp_path, text, words):
    log = tmp_path / "log"
    log.write_text(text)
    assert processes.last_words(log) == words
    assert processes.last_words(tmp_path / "missing") == "(none)"
