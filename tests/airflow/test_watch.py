"""One list and one watch tell all waiters, whatever becomes of the connection.

Against a list of resources in memory; tests/cluster shows the same with a real API server.
"""

import asyncio
from contextlib import asynccontextmanager

import pytest

from fairlead_airflow import watch


class Cluster:
    """Resources in memory that can be listed, read and watched, and be away."""

    def __init__(self):
        self.bodies = {}
        self.version = 0
        self.history = []
        self.compacted = 0
        self.failing = []
        """What the next openings raise."""
        self.failing_reads = []
        self.slow = None
        """What a read waits for before it answers with what it has found."""
        self.calls = []
        self.watched_from = []
        self.num_cut = 0
        self.changed = asyncio.Condition()

    async def put(self, name, **more):
        self.version += 1
        metadata = {"name": name, "resourceVersion": str(self.version)}
        self.bodies[name] = {"metadata": metadata, **more}
        await self.tell("MODIFIED", self.bodies[name])

    async def drop(self, name):
        self.version += 1
        body = self.bodies.pop(name)
        body = {"metadata": {"name": name, "resourceVersion": str(self.version)}, "was": body}
        await self.tell("DELETED", body)

    async def tell(self, type_, body):
        self.history.append((self.version, {"type": type_, "object": body}))
        async with self.changed:
            self.changed.notify_all()

    async def cut(self):
        """Break the streams that run."""
        self.num_cut += 1
        async with self.changed:
            self.changed.notify_all()

    async def compact(self):
        """What happened so far can't be watched any more; running watches hear of it."""
        self.compacted = self.version
        async with self.changed:
            self.changed.notify_all()

    @asynccontextmanager
    async def open(self):
        self.calls.append("open")
        if self.failing:
            raise self.failing.pop(0)
        yield self

    async def page(self, limit, token):
        self.calls.append("page")
        names = sorted(self.bodies)
        first = int(token or 0)
        metadata = {"resourceVersion": str(self.version)}
        if first + limit < len(names):
            metadata["continue"] = str(first + limit)
        return {
            "items": [self.bodies[name] for name in names[first : first + limit]],
            "metadata": metadata,
        }

    async def read(self, name):
        self.calls.append("read")
        if self.failing_reads:
            raise self.failing_reads.pop(0)
        found = self.bodies.get(name)
        if self.slow is not None:
            await self.slow.wait()
        return found

    async def events(self, version, seconds):
        self.calls.append("watch")
        seen, num_cut = int(version), self.num_cut
        self.watched_from.append(seen)
        while True:
            if self.num_cut > num_cut:
                raise watch.Unavailable("connection reset")
            if seen < self.compacted:
                yield {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
            for number, event in self.history:
                if number > seen:
                    seen = number
                    yield event
            async with self.changed:
                while (seen, num_cut) == (self.version, self.num_cut) and seen >= self.compacted:
                    await self.changed.wait()


@pytest.fixture
async def cluster():
    return Cluster()


@pytest.fixture
async def shared(cluster, monkeypatch):
    monkeypatch.setattr(watch, "LONGEST_PAUSE_SECONDS", 0.01)
    return watch.SharedWatch(cluster)


async def look(waiter):
    return await asyncio.wait_for(waiter.look(), 30)


async def test_waiter_is_told_of_the_present_then_of_each_change(cluster, shared):
    await cluster.put("a", step=1)
    waiter = shared.join("a")
    assert (await look(waiter))["step"] == 1
    await cluster.put("a", step=2)
    assert (await look(waiter))["step"] == 2
    await cluster.drop("a")
    assert await look(waiter) is None


async def test_waiter_that_was_busy_sees_the_newest_only(cluster, shared):
    waiter = shared.join("a")
    assert await look(waiter) is None
    other = shared.join("last")
    assert await look(other) is None
    for step in range(5):
        await cluster.put("a", step=step)
    await cluster.put("last")
    await look(other)
    assert (await look(waiter))["step"] == 4


async def test_thousands_who_come_at_once_cost_one_list(cluster, shared):
    for number in range(1200):
        await cluster.put(f"job-{number}")
    waiters = [shared.join(f"job-{number}") for number in range(1200)]
    for number, waiter in enumerate(waiters):
        assert (await look(waiter))["metadata"]["name"] == f"job-{number}"
    assert shared.num_lists == 1
    assert cluster.calls == ["open", "page", "page", "page", "watch"]


async def test_one_who_joins_later_costs_one_read(cluster, shared):
    await cluster.put("a")
    await cluster.put("b")
    await look(shared.join("a"))
    assert (await look(shared.join("b")))["metadata"]["name"] == "b"
    assert (shared.num_lists, cluster.calls.count("read")) == (1, 1)


async def test_who_joins_later_is_told_though_the_read_fails(cluster, shared):
    await cluster.put("b")
    await cluster.put("c")
    await look(shared.join("a"))
    cluster.failing_reads = [watch.Unavailable("connection reset")]
    late = {name: shared.join(name) for name in ("b", "c")}
    for name, waiter in late.items():
        assert (await look(waiter))["metadata"]["name"] == name
    assert shared.num_lists == 1


async def test_read_that_is_slower_than_the_stream_hides_nothing(cluster, shared):
    await cluster.put("b", step=1)
    await look(shared.join("a"))
    cluster.slow = asyncio.Event()
    waiter, last = shared.join("b"), shared.join("last")
    while "read" not in cluster.calls:
        await asyncio.sleep(0.01)
    await cluster.put("b", step=2)
    await cluster.put("last")
    await look(last)  # so the stream has told of b, too
    cluster.slow.set()
    assert (await look(waiter))["step"] == 2
    await look(shared.join("later"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiter.look(), 0)


async def test_a_crowd_that_joins_later_costs_one_more_list(cluster, shared):
    await look(shared.join("a"))
    crowd = [shared.join(f"job-{number}") for number in range(watch.FEW + 1)]
    for waiter in crowd:
        assert await look(waiter) is None
    assert (shared.num_lists, cluster.calls.count("read")) == (2, 0)


async def test_a_crowd_that_takes_its_time_costs_one_more_list_all_the_same(
    cluster, shared, monkeypatch
):
    await look(shared.join("a"))
    monkeypatch.setattr(watch, "JOIN_SECONDS", 0)  # one turn of the loop, as between two that join
    crowd = []
    for number in range(200):
        crowd.append(shared.join(f"job-{number}"))
        await asyncio.sleep(0)
    for waiter in crowd:
        assert await look(waiter) is None
    assert (shared.num_lists, cluster.calls.count("read")) == (2, 0)


async def test_a_crowd_without_an_end_is_told_in_time(cluster, shared, monkeypatch):
    monkeypatch.setattr(watch, "JOIN_SECONDS", 0)
    monkeypatch.setattr(watch, "LONGEST_JOIN_SECONDS", 0.05)

    async def join_for_ever():
        number = 0
        while True:
            shared.join(f"job-{number}")
            number += 1
            await asyncio.sleep(0)

    first = shared.join("a")
    joining = asyncio.create_task(join_for_ever())
    assert await look(first) is None
    joining.cancel()


async def test_history_that_is_too_old_is_made_up_for_by_a_list(cluster, shared):
    waiter = shared.join("a")
    assert await look(waiter) is None
    cluster.version += 1
    cluster.bodies["a"] = {"metadata": {"name": "a", "resourceVersion": str(cluster.version)}}
    await cluster.compact()
    assert (await look(waiter))["metadata"]["name"] == "a"
    assert shared.num_lists == 2


async def test_server_that_is_away_is_asked_until_it_answers(cluster, shared, caplog):
    cluster.failing = [watch.Unavailable("no route to host")] * 3
    await cluster.put("a")
    assert (await look(shared.join("a")))["metadata"]["name"] == "a"
    assert caplog.text.count("no route to host; trying again") == 3


async def test_trouble_is_known_until_it_is_over(cluster, shared):
    waiter = shared.join("a")
    assert await look(waiter) is None
    assert shared.trouble == ""
    cluster.failing = [watch.Unavailable("no route to host")] * 3
    await cluster.cut()
    while shared.trouble != "no route to host":
        await asyncio.sleep(0)
    await cluster.put("a")
    await look(waiter)
    assert shared.trouble == ""


async def test_stream_that_breaks_goes_on_from_where_it_was(cluster, shared):
    waiter = shared.join("a")
    assert await look(waiter) is None
    await cluster.put("a", step=1)
    assert (await look(waiter))["step"] == 1
    await cluster.cut()
    await cluster.put("a", step=2)
    assert (await look(waiter))["step"] == 2
    assert cluster.watched_from == [0, 1]
    assert shared.num_lists == 1


async def test_read_of_the_present_outlasts_a_server_that_is_away(cluster, shared):
    cluster.failing = [watch.Unavailable("no route to host")] * 3
    await cluster.put("a")
    assert (await shared.read("a"))["metadata"]["name"] == "a"
    assert await shared.read("b") is None


async def test_refusal_reaches_every_waiter_and_the_next_one_tries_anew(cluster, shared):
    cluster.failing = [PermissionError("may not list")]
    waiters = [shared.join("a"), shared.join("b")]
    for waiter in waiters:
        with pytest.raises(PermissionError, match="may not list"):
            await look(waiter)
    assert await look(shared.join("c")) is None


async def test_last_to_leave_ends_the_stream_and_the_next_begins_another(cluster, shared):
    waiter = shared.join("a")
    await look(waiter)
    await shared.leave("a", waiter)
    assert shared.num_waiters == 0
    assert [task.get_name() for task in asyncio.all_tasks()].count("fairlead-watch") == 0
    await cluster.put("a")
    assert (await look(shared.join("a")))["metadata"]["name"] == "a"


@pytest.mark.parametrize(
    "cuts",
    [[b'{"a":1}\n{"b":2}\n'], [b'{"a"', b":1}\n", b'{"b":2}\n'], [b'{"a":1}\n\n{"b":', b"2}\n"]],
    ids=["whole", "cut", "empty line"],
)
async def test_events_are_lines_however_the_stream_is_cut(cuts):
    async def chunks():
        for cut in cuts:
            yield cut

    assert [event async for event in watch.lines(chunks())] == [{"a": 1}, {"b": 2}]


async def test_an_event_that_is_too_deep_for_python_ends_no_stream():
    """Somebody else's resource of the namespace comes on the same stream as everybody's."""

    async def chunks():
        yield b'{"deep": ' + b"[" * 5000 + b"]" * 5000 + b'}\n{"b": 2}\n'

    first, second = [event async for event in watch.lines(chunks())]
    assert (list(first), second) == (["deep"], {"b": 2})
