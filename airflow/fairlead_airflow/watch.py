"""One list and one watch for all triggers of a process that wait on a kind in a namespace.

A waiter gets the newest version of its resource, never a backlog; versions that it hadn't time
to look at are left out. Nothing is kept of resources that nobody waits for.

Who joins a watch that runs already is told of the present by a read of its own, many at once by
a new list, asked for when no more come: so a triggerer that takes over thousands of waiters asks
for one list.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from fairlead_airflow.manifests import Manifest
from fairlead_api import nesting

CHUNK: Final = 500  # resources a page of a list
WATCH_SECONDS: Final = 300  # then the stream is opened anew, give or take a quarter
FEW: Final = 8  # joining at once: read one by one
JOIN_SECONDS: Final = 0.1  # nobody has joined for so long: the crowd is whole
LONGEST_JOIN_SECONDS: Final = 5.0  # after which a crowd that still grows is told all the same
LONGEST_PAUSE_SECONDS: Final = 30.0
REOPEN_SECONDS: Final = 0.5  # between two streams: whoever closes them at once isn't hammered
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"
ERROR: Final = "ERROR"

log = logging.getLogger(__name__)


class Gone(Exception):
    """The version to go on from is too old: list anew."""


class Unavailable(Exception):
    """No answer now."""


class Api(Protocol):
    """An open connection to one kind in one namespace."""

    async def page(self, limit: int, token: str) -> Manifest:
        """A page of the list."""
        ...

    async def read(self, name: str) -> Manifest | None:
        """One resource; None where there is none."""
        ...

    def events(self, version: str, seconds: int) -> AsyncIterator[Manifest]:
        """Watch events after a version, for some seconds."""
        ...


class Source(Protocol):
    """Opens connections."""

    def open(self) -> AbstractAsyncContextManager[Api]:
        """A connection with credentials as they are now."""
        ...


class Waiter:
    """What one trigger holds of the watch: the newest version that it has not seen."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._body: Manifest | None = None
        self._failure: Exception | None = None
        self.is_told = False
        """Whether it was ever told of a version."""

    def tell(self, body: Manifest | None) -> None:
        """Replace what it would see next; None: there is no such resource."""
        self._body, self.is_told = body, True
        self._news.set()

    def fail(self, failure: Exception) -> None:
        """Have its next look end in this."""
        self._failure = failure
        self._news.set()

    async def look(self) -> Manifest | None:
        """Wait for a version that it has not seen."""
        await self._news.wait()
        self._news.clear()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        body, self._body = self._body, None
        return body


class SharedWatch:
    """The waiters of one kind in one namespace, and the stream that tells them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiters: dict[str, set[Waiter]] = {}
        self._joined: set[str] = set()
        self._somebody_joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._version = ""  # to go on from; empty: list anew
        self._failures = 0  # in a row
        self.num_lists = 0
        """Lists so far."""
        self.trouble = ""
        """Why nothing is told now, where that is so."""

    def join(self, name: str) -> Waiter:
        """Begin to wait for a resource."""
        waiter = Waiter()
        self._waiters.setdefault(name, set()).add(waiter)
        self._joined.add(name)
        self._somebody_joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="fairlead-watch")
        return waiter

    async def leave(self, name: str, waiter: Waiter) -> None:
        """Wait no more; the last to leave ends the stream."""
        waiters = self._waiters[name]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[name]
        if not self._waiters and self._task is not None:
            # Who joins while this one ends begins another.
            ending, self._task = self._task, None
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    @property
    def num_waiters(self) -> int:
        """Waiters now."""
        return sum(map(len, self._waiters.values()))

    async def read(self, name: str) -> Manifest | None:
        """The resource as it is now: what a stream tells may be the past."""
        while True:
            try:
                async with self._source.open() as api:
                    return await api.read(name)
            except Unavailable as unavailable:
                await self._pause(unavailable)

    async def _run(self) -> None:
        self._version = ""
        while True:
            try:
                async with self._source.open() as api:
                    if not self._version:
                        await self._crowd()
                        self._version = await self._list(api)
                        self._recover()
                    await self._stream(api)
                self._recover()
                await asyncio.sleep(REOPEN_SECONDS)
            except Gone:
                self._version = ""
            except Unavailable as unavailable:
                await self._pause(unavailable)
            except Exception as failure:  # refused for good, or a fault of ours: nobody waits on
                self._fail_all(failure)
                return

    def _recover(self) -> None:
        self._failures, self.trouble = 0, ""

    async def _pause(self, unavailable: Unavailable) -> None:
        self._failures += 1
        self.trouble = str(unavailable)
        longest = min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self._failures, 16))
        pause = longest * random.uniform(0.5, 1)
        log.warning("%s; trying again in %.0f s", unavailable, pause)
        await asyncio.sleep(pause)

    async def _list(self, api: Api) -> str:
        """Tell everybody of the present; returns the version that it was."""
        self._joined.clear()
        self._somebody_joined.clear()
        waited, token = set(self._waiters), ""
        while True:
            version, token, found = await self._page(api, token)
            waited -= found
            if not token:
                break
        for name in waited:
            self._tell(name, None)
        self.num_lists += 1
        return version

    async def _page(self, api: Api, token: str) -> tuple[str, str, set[str]]:
        """Tell of one page, which isn't kept beside the next: its version, what follows, names."""
        page = await api.page(CHUNK, token)
        for body in page["items"]:
            self._tell(body["metadata"]["name"], body)
        metadata = page["metadata"]
        found = {body["metadata"]["name"] for body in page["items"]}
        return metadata["resourceVersion"], metadata.get("continue") or "", found

    async def _stream(self, api: Api) -> None:
        """Pass on events until the stream ends, and the present to who joins."""
        reading = asyncio.create_task(self._read(api))
        try:
            while not reading.done():
                joining = asyncio.create_task(self._somebody_joined.wait())
                await asyncio.wait({reading, joining}, return_when=asyncio.FIRST_COMPLETED)
                joining.cancel()
                if self._somebody_joined.is_set() and not reading.done():
                    await self._welcome(api)
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _welcome(self, api: Api) -> None:
        """Tell those who joined of the present; raises Gone to have a list tell many."""
        await self._crowd()
        if len(self._joined) > FEW:
            raise Gone
        self._somebody_joined.clear()
        try:
            while self._joined:
                name = next(iter(self._joined))
                if name in self._waiters:
                    self._tell_new(name, await api.read(name))
                self._joined.discard(name)
        finally:
            if self._joined:  # whom the next connection tells
                self._somebody_joined.set()

    async def _crowd(self) -> None:
        """Wait until all are there who come at once: one list tells them."""
        longest = time.monotonic() + LONGEST_JOIN_SECONDS
        num_joined = -1
        while num_joined != len(self._joined) and time.monotonic() < longest:
            num_joined = len(self._joined)
            await asyncio.sleep(JOIN_SECONDS)

    async def _read(self, api: Api) -> None:
        seconds = int(WATCH_SECONDS * random.uniform(0.75, 1.25))
        async for event in api.events(self._version, seconds):
            body = event["object"]
            if event["type"] == ERROR:
                if body.get("code") == 410:
                    raise Gone
                raise Unavailable(f"the watch ended: {body.get('message')}")
            self._version = body["metadata"]["resourceVersion"]
            self._recover()
            if event["type"] != BOOKMARK:
                is_there = event["type"] != DELETED
                self._tell(body["metadata"]["name"], body if is_there else None)

    def _tell(self, name: str, body: Manifest | None) -> None:
        for waiter in self._waiters.get(name, ()):
            waiter.tell(body)

    def _tell_new(self, name: str, body: Manifest | None) -> None:
        """Pass on what was read, but not to whom the stream has told of a later version since."""
        for waiter in self._waiters.get(name, ()):
            if not waiter.is_told:
                waiter.tell(body)

    def _fail_all(self, failure: Exception) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.fail(failure)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[Manifest]:
    """Events of a stream, one a line however it is cut."""
    pending = b""
    async for chunk in chunks:
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield nesting.loads(line)
