"""A kill of a real process in the middle of its work: nothing passes, nothing comes later."""

import asyncio
import contextlib
import socket
import sys

import aiohttp
import pytest

from fairlead_chaos.faults import Kill, Moment, Plan, Write
from fairlead_chaos.proxy import Proxy

pytestmark = pytest.mark.cluster
MOMENTS = [pytest.param(moment, id=moment.value) for moment in Moment]
BUSY = """
import http.client, itertools, json, sys, threading

def work(thread):
    for number in itertools.count():
        if number % 3 == 0:
            connection = http.client.HTTPConnection(sys.argv[1])
        name = f"w{thread}-{number}"
        head = {"name": name, "labels": {"chaos.test/proxy": ""}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head}
        json_type = {"Content-Type": "application/json"}
        connection.request("POST", sys.argv[2], json.dumps(body), json_type)
        connection.getresponse().read()

for thread in range(8):
    threading.Thread(target=work, args=(thread,)).start()
"""


@pytest.fixture
async def busy(upstream, direct):
    """Starts a process that writes from eight threads, behind a proxy that kills it."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(plan):
            async def kill():
                on_its_way.extend(one for one in proxy.trace.sent if one.answered == "open")
                process.kill()
                await process.wait()

            on_its_way = []
            proxy = Proxy(upstream, Plan("busy", (plan,)), kill)
            await proxy.start()
            stack.push_async_callback(proxy.close)
            address = proxy.url.removeprefix("http://")
            command = [sys.executable, "-c", BUSY, address, direct.path]
            process = await asyncio.create_subprocess_exec(*command)
            stack.push_async_callback(process.wait)
            return proxy, process, on_its_way

        yield start


@pytest.mark.parametrize("moment", MOMENTS)
async def test_no_write_of_the_dead_comes_later(busy, direct, moment):
    point = Write("create", "configmaps", "w3-5")
    proxy, process, on_its_way = await busy(Kill(point, moment))
    assert await process.wait() == -9
    assert on_its_way == []  # what the API server had been sent had its answer before the death
    at_death = {one.write.name for one in proxy.trace.sent if one.code == 201}
    await proxy.begin(2)
    through = type(direct)(proxy.url, direct.path)
    async with through.session:
        assert (await through.create("heir"))[0] == 201
        assert (await through.list())[0].keys() == at_death | {"heir"}
    assert ("w3-5" in at_death) == (moment != Moment.BEFORE_SEND)
    assert "w3-6" not in at_death
    assert [one.incarnation for one in proxy.trace.sent] == [1] * (len(proxy.trace.sent) - 1) + [2]


@pytest.mark.parametrize("num_turns", range(5))
async def test_request_of_the_dead_that_is_being_accepted_is_dropped(upstream, direct, num_turns):
    """Without a turn of the loop nobody has accepted it, some turns later it is in the books."""

    async def kill():
        address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        with socket.create_connection(address) as unaccepted:
            body = b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}}'
            head = f"POST {direct.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            unaccepted.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            for _ in range(num_turns):
                await asyncio.sleep(0)
            await proxy.begin(2)
            begun.set()

    begun = asyncio.Event()
    plan = Kill(Write("create", "configmaps", "first"), Moment.BEFORE_SEND)
    proxy = Proxy(upstream, Plan("late", (plan,)), kill)
    through = type(direct)(await proxy.start(), direct.path)
    try:
        async with through.session:
            with pytest.raises(aiohttp.ClientError):
                await through.create("first")
            await begun.wait()
            assert (await through.create("heir"))[0] == 201
    finally:
        await proxy.close()
    assert [one.write.name for one in proxy.trace.sent] == ["first", "heir"]


async def test_the_dying_are_told_nothing_more(chaos, direct, until):
    one = await chaos(Kill(Write("create", "configmaps", "last"), Moment.AFTER_COMMIT))
    witness = await (await chaos()).informer()
    informer = await one.informer()
    await direct.create("before", n="0")
    await informer.until("ADDED", "before", "0")
    one.may_die.clear()
    last = asyncio.create_task(one.caller.create("last"))
    await until(lambda: one.trace.reached, "the kill is due")
    await direct.create("after", n="0")
    await witness.until("ADDED", "after", "0")
    late = asyncio.create_task(one.caller.list())
    await witness.caller.list()
    # The watch may have told of "last" before its reply, and so before the kill was due.
    told = [event for event in informer.told if event != ("ADDED", "last", None)]
    assert told == [("ADDED", "before", "0")]
    assert not last.done()
    assert not late.done()
    one.may_die.set()
    results = await asyncio.gather(last, late, return_exceptions=True)
    assert all(isinstance(result, OSError | aiohttp.ClientError) for result in results), results
