"""The zygote bears real processes of the operator, tells how they end, and takes them along."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairlead_chaos import lifeline, tenant
from fairlead_chaos import nursery as nursery_module
from fairlead_chaos.nursery import KUBECONFIG, Nursery, NurseryError, Operator

PATIENCE_SECONDS = 120  # other work runs on the same cores
PATH = {"PATH": os.environ["PATH"]}


async def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.02)
    return found


@pytest.fixture
async def nursery():
    async with Nursery() as opened:
        yield opened


@pytest.fixture
def deaf():
    """The URL of a server that takes connections and never answers: an operator waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def start(nursery, tmp_path, deaf):
    """Starts an operator that waits for its API server."""

    async def started(name="one", bug=None):
        folder = tmp_path / name
        folder.mkdir()
        (folder / KUBECONFIG).write_text(tenant.kubeconfig(deaf, "token"))
        environment = tenant.environment(name, PATH)
        return await nursery.start(environment, folder, folder / "log", bug)

    return started


async def test_an_operator_s_own_exit_is_told_and_its_words_are_in_the_log(nursery, tmp_path):
    operator = await nursery.start(PATH, tmp_path, tmp_path / "log")
    ended = await operator.exited
    assert ended.code == 2
    assert ended.cpu_seconds > 0
    assert "FAIRLEAD_NAMESPACE" in (tmp_path / "log").read_text()


async def test_a_killed_operator_is_reaped_before_the_kill_returns(start):
    operator = await start()
    assert (await operator.end(signal.SIGKILL)).code == -signal.SIGKILL
    assert not Path(f"/proc/{operator.pid}").exists()


async def test_a_second_signal_to_an_ended_operator_reaches_nobody(start):
    operator = await start()
    first = await operator.end(signal.SIGKILL)
    assert await operator.end(signal.SIGTERM) is first


async def test_an_end_that_nobody_tells_of_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(nursery_module, "_KILL_SECONDS", 0)
    deaf = SimpleNamespace(order=lambda _: None)
    operator = Operator(7, deaf, asyncio.get_running_loop().create_future())
    with pytest.raises(TimeoutError, match="of the end of process 7"):
        await operator.end(signal.SIGKILL)
    assert not operator.exited.done()


async def test_a_start_that_was_cancelled_leaves_no_process_and_hinders_no_other(start):
    cancelled = asyncio.create_task(start("one"))
    await asyncio.sleep(0)  # it has asked, and waits for the answer
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    operator = await start("two")
    zygote = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(") ")[2].split()[1]
    children = Path(f"/proc/{zygote}/task/{zygote}/children")
    await until(lambda: children.read_text().split() == [str(operator.pid)], "it is alone")
    assert (await operator.end(signal.SIGKILL)).code == -signal.SIGKILL


async def test_a_start_that_was_cancelled_hinders_no_end_of_the_nursery(start, nursery):
    cancelled = asyncio.create_task(start("one"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await nursery.__aexit__()


async def test_operators_have_folders_and_logs_of_their_own(start, tmp_path):
    for name in ("one", "two"):
        operator = await start(name)
        await until((tmp_path / name / "log").exists, "it has a log")
        assert os.readlink(f"/proc/{operator.pid}/cwd") == str(tmp_path / name)


async def test_a_bug_that_is_not_known_ends_the_process_with_its_name(start, tmp_path):
    operator = await start(bug="no-such-bug")
    assert (await operator.exited).code == 1
    assert "KeyError: 'no-such-bug'" in (tmp_path / "one" / "log").read_text()


async def test_operators_die_with_their_nursery(start, nursery):
    operator = await start()
    name = lifeline.name_of(operator.pid)
    assert lifeline.is_alive(name)
    await nursery.__aexit__()
    assert not lifeline.is_alive(name)
    with pytest.raises(NurseryError):
        await start("late")


HARNESS = """
import asyncio, os, pathlib, sys
from fairlead_chaos import lifeline, tenant
from fairlead_chaos.nursery import KUBECONFIG, Nursery

async def main():
    folder = pathlib.Path(sys.argv[1])
    (folder / KUBECONFIG).write_text(tenant.kubeconfig(sys.argv[2], "token"))
    async with Nursery() as nursery:
        environment = tenant.environment("any", {"PATH": os.environ["PATH"]})
        operator = await nursery.start(environment, folder, folder / "log")
        print(lifeline.name_of(operator.pid), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_operators_die_with_a_killed_harness(tmp_path, deaf):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", HARNESS, tmp_path, deaf)
    harness = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE
    )
    name = (await harness.stdout.readline()).decode().strip()
    assert lifeline.is_alive(name)
    harness.kill()
    await harness.communicate()
    await until(partial(is_dead, name), "the operator died as well")


ORPHAN = """
import os
from fairlead_chaos.lifeline import die_with_parent

reader, writer = os.pipe()
if (middle := os.fork()) == 0:
    middle = os.getpid()
    if os.fork() == 0:
        while os.getppid() == middle:
            pass
        die_with_parent(middle)
        os.write(writer, b"lives")
    os._exit(0)
os.waitpid(middle, 0)
os.close(writer)
print(os.read(reader, 5).decode())
"""


def test_process_whose_parent_ended_before_it_asked_dies_as_well():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", ORPHAN)
    assert subprocess.check_output(command, env=environment, text=True) == "\n"


def is_dead(name):
    return not lifeline.is_alive(name)


def test_process_that_has_ended_and_that_nobody_awaits_is_not_alive():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        name = lifeline.name_of(process.pid)
        assert lifeline.is_alive(name)
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not lifeline.is_alive(name)


@pytest.mark.parametrize(
    ("name", "is_alive"),
    [
        pytest.param(lifeline.name_of(os.getpid()), True, id="this-process"),
        pytest.param(f"{lifeline.name_of(os.getpid())}-7", True, id="with-an-owner-s-number"),
        pytest.param(f"{os.getpid()}-1", False, id="its-pid-at-another-time"),
        pytest.param("0-0", False, id="no-process"),
        pytest.param(lifeline.name_of(2**22 + 1), False, id="gone-before-it-had-a-name"),
        pytest.param("somebody", False, id="no-name"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_a_process_is_known_by_pid_and_start(name, is_alive):
    assert lifeline.is_alive(name) is is_alive
