"""What signals raise in the main thread ends what runs beside it."""

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

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


def test_what_is_raised_while_it_begins_cancels_it_too(monkeypatch):
    begun, ended = threading.Event(), []

    class Pool(ThreadPoolExecutor):
        """The signal comes when the work has begun, and its hand-over has not ended."""

        def submit(self, *work):
            handed_over = super().submit(*work)
            while not (handed_over.done() or begun.is_set()):
                begun.wait(0.01)
            if begun.is_set():
                raise TimeIsOver
            return handed_over

    async def main():
        begun.set()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            ended.append("tidied up")
            raise

    monkeypatch.setattr(beside, "ThreadPoolExecutor", Pool)
    with pytest.raises(TimeIsOver):
        beside.run(main)
    assert ended == ["tidied up"]
    assert not threads()


def test_what_is_raised_before_it_is_handed_over_waits_for_nothing(monkeypatch):
    class Pool(ThreadPoolExecutor):
        def submit(self, *work):
            raise TimeIsOver

    async def main():
        raise AssertionError("never begun")

    monkeypatch.setattr(beside, "ThreadPoolExecutor", Pool)
    with pytest.raises(TimeIsOver):
        beside.run(main)
    assert not threads()


def test_loop_that_cant_begin_is_not_waited_for(monkeypatch):
    def fail():
        raise OSError(24, "Too many open files")

    async def main():
        raise AssertionError("never begun")

    monkeypatch.setattr(asyncio.events, "new_event_loop", fail)
    with pytest.raises(OSError, match="Too many open files"):
        beside.run(main)
