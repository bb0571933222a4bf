"""Starts processes of the operator from the zygote and learns how they end.

A process is real: its own pid, its own sockets, SIGKILL ends it. Only the zygote reaps and
signals, so no signal can reach a stranger that got the same pid.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

KUBECONFIG: Final = "operator.kubeconfig"
"""Relative: the client library notes the path when it is imported, and each process has its own
working folder."""
_START_SECONDS: Final = 120.0
_KILL_SECONDS: Final = 60.0
"""Longest that the end of a killed process is waited for; the kernel needs no time."""
_LINE_BYTES: Final = 2**20


class NurseryError(Exception):
    """The zygote didn't start, or ended."""


@dataclass(frozen=True)
class Exit:
    """How a process ended."""

    code: int
    """Its exit code, or the signal that ended it, negative."""
    cpu_seconds: float


@dataclass
class Operator:
    """One process of the operator."""

    pid: int
    _nursery: "Nursery" = field(repr=False)
    exited: "asyncio.Future[Exit]" = field(repr=False)
    """Done once the process is reaped."""

    async def end(self, how: signal.Signals) -> Exit:
        """Send a signal and wait for the end; one that has ended already is well.

        Raises TimeoutError where it was SIGKILL and nobody tells of the end.
        """
        self._nursery.order({"pid": self.pid, "signal": int(how)})
        try:
            async with asyncio.timeout(_KILL_SECONDS if how == signal.SIGKILL else None):
                return await asyncio.shield(self.exited)
        except TimeoutError:
            raise TimeoutError(f"nobody tells of the end of process {self.pid}") from None


class Nursery:
    """The zygote's other end. ``async with`` it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._born: dict[int, asyncio.Future[Operator]] = {}
        self._alive: dict[int, Operator] = {}

    async def __aenter__(self) -> Self:
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "KUBECONFIG": KUBECONFIG,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fairlead_chaos.zygote",
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        async with asyncio.timeout(_START_SECONDS):
            if "ready" not in await self._news():
                raise NurseryError("the zygote's first word was another one")
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the zygote, and with it what it bore."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        if self._listener is not None:
            with contextlib.suppress(NurseryError):
                await self._listener

    async def start(
        self, environment: Mapping[str, str], folder: Path, log: Path, bug: str | None = None
    ) -> Operator:
        """Start the operator.

        Args:
            environment: Its whole environment but for KUBECONFIG.
            folder: Its working folder; holds the file ``KUBECONFIG``.
            log: Where its output is appended.
            bug: Name of a planted bug.
        """
        number = next(self._numbers)
        born: asyncio.Future[Operator] = asyncio.get_running_loop().create_future()
        self._born[number] = born
        self.order(
            {
                "order": number,
                "env": {**environment, "KUBECONFIG": KUBECONFIG},
                "folder": str(folder),
                "log": str(log),
                "bug": bug,
            }
        )
        return await born

    def order(self, order: dict[str, Any]) -> None:
        """Send the zygote an order; raises NurseryError where it has ended."""
        if self._process is None or self._process.stdin is None or self._process.stdin.is_closing():
            raise NurseryError("the zygote has ended")
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _news(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise NurseryError("the zygote ended")
        found: dict[str, Any] = json.loads(line)
        return found

    async def _listen(self) -> None:
        try:
            while True:
                news = await self._news()
                if "order" in news:
                    self._bear(self._born.pop(news["order"]), news["pid"])
                else:
                    ended = Exit(news["exit"], news["cpu_seconds"])
                    self._alive.pop(news["pid"]).exited.set_result(ended)
        except NurseryError as error:
            for waiting in self._born.values():
                if not waiting.done():
                    waiting.set_exception(error)
            for operator in self._alive.values():
                operator.exited.set_result(Exit(-int(signal.SIGKILL), 0.0))
            raise

    def _bear(self, born: "asyncio.Future[Operator]", pid: int) -> None:
        """Hand a process to who asked for it; one that nobody waits for any more is ended."""
        exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        operator = self._alive[pid] = Operator(pid, self, exited)
        if born.done():  # whoever asked was cancelled
            self.order({"pid": pid, "signal": int(signal.SIGKILL)})
        else:
            born.set_result(operator)
