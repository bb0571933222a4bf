"""What signals raise in the main thread ends what runs beside it."""

import asyncio
import signal
import threading

import pytest

from fairlead_airflow import beside


class TimeIsOver(BaseException):
    """As Airflow's own AirflowTaskTimeout."""


@pytest.fixture
def alarm():
    def late(*_):
        raise TimeIsOver

    before = signal.signal(signal.SIGALRM, late)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("asking")]


def test_it_runs_to_its_end_in_another_thread():
    seen = []

    async def main():
        await asyncio.sleep(0)
        seen.append(threading.current_thread())

    beside.run(main)
    assert seen[0] is not threading.main_thread()
    assert not threads()


def test_its_failure_comes_out():
    async def main():
        raise KeyError("a")

    with pytest.raises(KeyError):
        beside.run(main)


def test_what_is_raised_here_cancels_it_first(alarm):
    ended = []

    async def main():
        alarm(0.05)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            ended.append("tidied up")
            raise

    with pytest.raises(TimeIsOver):
        beside.run(main)
    assert ended == ["tidied up"]
    assert not threads()


def test_loop_that_cant_begin_is_not_waited_for(monkeypatch):
    def fail():
        raise OSError(24, "Too many open files")

    async def main():
        raise AssertionError("never begun")

    monkeypatch.setattr(asyncio.events, "new_event_loop", fail)
    with pytest.raises(OSError, match="Too many open files"):
        beside.run(main)
