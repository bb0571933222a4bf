"""Each key once, one pass at a time, later after a failure."""

import asyncio

import pytest

from fairlead_operator import workqueue
from fairlead_operator.workqueue import WorkQueue


async def test_a_key_asked_for_twice_is_handed_out_once():
    queue = WorkQueue[str]()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_asked_for_during_its_pass_is_handed_out_after_it():
    queue = WorkQueue[str]()
    queue.add("a")
    await queue.get()
    queue.add("a")
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done(), "two workers on one key"
    queue.done("a")
    assert await waiting == "a"


async def test_a_worker_that_waits_is_woken():
    queue = WorkQueue[str]()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await asyncio.wait_for(waiting, 5) == "a"


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        pytest.param([10], 10, id="alone"),
        pytest.param([10, 5], 5, id="an-earlier-one-wins"),
        pytest.param([5, 10], 5, id="a-later-one-changes-nothing"),
        pytest.param([-3], 0, id="the-past-is-now"),
    ],
)
async def test_a_key_comes_at_the_moment_asked_for(pass_time, asked, due):
    queue = WorkQueue[str]()
    for seconds in asked:
        queue.add_after("a", seconds)
    if due:
        await pass_time(due - 1)
        assert len(queue) == 0
    await pass_time(1.1)
    assert len(queue) == 1


async def test_a_key_asked_for_soon_comes_at_once_and_a_burst_after_it_once(pass_time):
    queue = WorkQueue[str](batch_seconds=10)
    queue.add_soon("a")
    queue.done(await queue.get())
    for _ in range(5):
        await pass_time(1)
        queue.add_soon("a")
    assert len(queue) == 0
    await pass_time(5.1)
    assert len(queue) == 1
    queue.done(await queue.get())
    await pass_time(30)
    assert len(queue) == 0


async def test_a_key_asked_for_soon_after_a_quiet_time_comes_at_once(pass_time):
    queue = WorkQueue[str](batch_seconds=10)
    queue.add("a")
    queue.done(await queue.get())
    await pass_time(10)
    queue.add_soon("a")
    assert len(queue) == 1


async def test_a_key_asked_for_soon_during_its_pass_is_not_lost(pass_time):
    queue = WorkQueue[str](batch_seconds=10)
    queue.add("a")
    await queue.get()
    queue.add_soon("a")
    await pass_time(10.1)
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_key_asked_for_now_does_not_wait_for_its_batch(pass_time):
    queue = WorkQueue[str](batch_seconds=10)
    queue.add("a")
    queue.done(await queue.get())
    queue.add_soon("a")
    queue.add("a")
    assert len(queue) == 1


async def test_keys_whose_batch_is_over_are_forgotten(pass_time):
    queue = WorkQueue[int](batch_seconds=10)
    for key in range(100):
        queue.add(key)
        queue.done(await queue.get())
    await pass_time(10)
    queue.add(100)
    queue.done(await queue.get())
    assert list(queue._begun) == [100]


async def test_a_failing_key_waits_twice_as_long_each_time_up_to_a_limit(pass_time, monkeypatch):
    monkeypatch.setattr(workqueue.random, "uniform", lambda low, high: 1.0)
    queue = WorkQueue[str]()
    waits = []
    for _ in range(14):
        waits.append(queue.retry("a"))
        await pass_time(waits[-1] + 0.1)
        queue.done(await queue.get())
    assert waits[:4] == [0.5, 1, 2, 4]
    assert waits[-1] == workqueue.LONGEST_BACKOFF_SECONDS


async def test_backoffs_of_many_keys_are_spread():
    queue = WorkQueue[int]()
    assert len({round(queue.retry(key), 3) for key in range(50)}) > 10


async def test_success_forgets_the_failures(monkeypatch):
    monkeypatch.setattr(workqueue.random, "uniform", lambda low, high: 1.0)
    queue = WorkQueue[str]()
    for _ in range(5):
        queue.retry("a")
    queue.succeeded("a")
    assert queue.retry("a") == workqueue.FIRST_BACKOFF_SECONDS


@pytest.fixture
async def manned():
    """A queue that a worker has come to."""
    queue = WorkQueue[str]()
    queue.add("first")
    queue.done(await queue.get())
    return queue


async def test_the_age_is_that_of_the_key_that_waits_longest(manned, pass_time):
    queue = manned
    assert queue.oldest_seconds() == 0
    queue.add("a")
    await pass_time(7)
    queue.add("b")
    assert 7 <= queue.oldest_seconds() < 8
    await queue.get()
    assert queue.oldest_seconds() < 1


async def test_time_before_the_first_worker_came_is_no_waiting(pass_time):
    queue = WorkQueue[str]()
    for key in ("a", "b"):
        queue.add(key)
    await pass_time(50)
    assert (queue.oldest_seconds(), queue.stalled_seconds()) == (0, 0)
    await queue.get()
    await pass_time(7)
    assert 7 <= queue.oldest_seconds() < 8
    assert 7 <= queue.stalled_seconds() < 8


async def test_a_long_queue_is_no_stall_but_one_that_nobody_works_on_is(manned, pass_time):
    queue = manned
    assert queue.stalled_seconds() == 0
    for key in ("a", "b"):
        queue.add(key)
    await pass_time(50)
    assert queue.stalled_seconds() >= 50
    queue.done(await queue.get())
    assert queue.oldest_seconds() >= 50
    assert queue.stalled_seconds() < 1
