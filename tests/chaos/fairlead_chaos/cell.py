"""One run: a fresh namespace, a proxy, an operator that serves it, and a story.

Cells of one lab run side by side in one event loop and share nothing but the API server and the
nodes' kwok. A cell tells no right from wrong: it hands out what was seen, and leaves the namespace
standing at rest for who judges it.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from fairlead_chaos import admin as administration
from fairlead_chaos import fates, rest, tenant
from fairlead_chaos.admin import NAMESPACE, Admin
from fairlead_chaos.faults import Plan
from fairlead_chaos.nursery import KUBECONFIG, Exit, Nursery, Operator
from fairlead_chaos.scenario import Manifest, Scenario
from fairlead_chaos.trace import Trace
from fairlead_chaos.world import ApiHands
from fairlead_operator import kube

PATIENCE_SECONDS: Final = 180.0
"""Longest that a story waits for one thing; the cores are busy."""
SETTLE_SECONDS: Final = 180.0
MOST_CRASHES: Final = 5
"""Exits of its own accord after which the operator stays down."""
CRASH_PAUSE_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 60.0
"""From SIGTERM to SIGKILL; a kubelet leaves half of it, on cores that are less busy."""
_WISHED: Final = {signal.SIGKILL: {-signal.SIGKILL}, signal.SIGTERM: {0, -signal.SIGTERM}}
"""Exit codes by the signal; SIGTERM ends a process that has no handler yet."""
_TOKEN_SECONDS: Final = 6 * 3600


class Gate(Protocol):
    """What stands between the operator and the API server."""

    trace: Trace

    @property
    def rests(self) -> bool:
        """Whether the living operator watches, and neither an event nor a write is open."""

    async def start(self) -> str:
        """Open; returns the URL to ask."""

    async def begin(self, incarnation: int) -> None:
        """Another process of the operator is about to start, from 2; the one before is dead."""

    async def close(self) -> None:
        """Close."""


class Shared(Protocol):
    """What a cell needs of its lab."""

    name: str
    folder: Path
    admin: Admin
    nursery: Nursery
    rbac: list[Manifest]

    def gate(self, plan: Plan, kill: Callable[[], Awaitable[None]]) -> Gate:
        """A new gate for one run."""
        ...

    def node(self) -> contextlib.AbstractAsyncContextManager[str]:
        """A node that no other run has, as soon as one is free."""
        ...


@dataclass(frozen=True)
class Crash:
    """An end of the operator that nobody wished for, or another one than was wished for."""

    incarnation: int
    code: int


@dataclass
class Run:
    """What was seen of one run."""

    scenario: Scenario
    plan: Plan
    namespace: str
    trace: Trace
    log: str = ""
    """The operator's whole output, over all its incarnations."""
    error: str | None = None
    """Why the story didn't come to its end, or the cell not to rest."""
    crashes: list[Crash] = field(default_factory=list)
    seconds: float = 0.0
    """From the operator's start to the end of the story."""
    exits: list[Exit] = field(default_factory=list)
    """Of each process that has ended by now."""

    @property
    def cpu_seconds(self) -> float:
        """Of the operator's processes; whole once the cell is left."""
        return sum(each.cpu_seconds for each in self.exits)


class Cell:
    """``async with Cell(lab, scenario, plan) as cell: run = await cell.run()``."""

    def __init__(self, lab: Shared, scenario: Scenario, plan: Plan, bug: str | None = None) -> None:
        self.namespace = fates.namespace_of(scenario.name)
        self._lab, self._scenario, self._bug = lab, scenario, bug
        self._folder = lab.folder / self.namespace
        self._log = self._folder / "operator.log"
        self._gate = lab.gate(plan, self.kill)
        self._settings = dict(scenario.settings)
        self._operator: Operator | None = None
        self._ending: Operator | None = None
        self._wish = signal.SIGTERM
        self._watcher: asyncio.Task[None] | None = None
        self._incarnation = 0
        self._starting = asyncio.Lock()
        self._stack = contextlib.AsyncExitStack()
        self._run = Run(scenario, plan, self.namespace, self._gate.trace)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            node = await stack.enter_async_context(self._lab.node())
            self._folder.mkdir(parents=True)
            token = await self._make_namespace(node)
            stack.push_async_callback(self._remove_namespace)
            url = await self._gate.start()
            stack.push_async_callback(self._gate.close)
            (self._folder / KUBECONFIG).write_text(tenant.kubeconfig(url, token))
            stack.push_async_callback(self._end_operator)
            self.hands = ApiHands(
                self._lab.admin, self.namespace, node, self._upgrade, PATIENCE_SECONDS
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the operator and delete the namespace, which goes in its own time."""
        await self._stack.aclose()

    async def run(self) -> Run:
        """Start the operator and tell the story; whatever goes wrong is part of the result."""
        begin = time.monotonic()
        await self._start_operator()
        try:
            await self._scenario.story(self.hands)
        except (TimeoutError, AssertionError, kube.ClusterError) as error:
            self._run.error = f"{type(error).__name__}: {error}"
        self._run.seconds = time.monotonic() - begin
        return self._seen()

    async def settled(self, quiet_seconds: float) -> bool:
        """Wait until nothing has changed in the namespace for a time; False if it never rests."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before = await rest.state(self._lab.admin, self.namespace)
        while time.monotonic() < deadline:
            await asyncio.sleep(quiet_seconds)
            now = await rest.state(self._lab.admin, self.namespace)
            stays_down = len(self._run.crashes) >= MOST_CRASHES
            if now == before and (self._gate.rests or stays_down):
                self._seen()
                return True
            before = now
        self._run.error = self._run.error or f"never at rest in {SETTLE_SECONDS:.0f} s"
        self._seen()
        return False

    async def kill(self) -> None:
        """SIGKILL the operator and start its next incarnation at once.

        The end of the operator's connections may cancel who asked for it: never half of it is done.
        """
        await asyncio.shield(asyncio.create_task(self._kill()))

    async def _kill(self) -> None:
        if self._ending is not None:  # by SIGTERM so far; whoever ends it starts the next one
            self._wish = signal.SIGKILL
            await self._ending.end(self._wish)
            async with self._starting:
                return
        await self._restart(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The operator's process; raises LookupError while none lives."""
        if self._operator is None:
            raise LookupError("no operator lives in this cell now")
        return self._operator.pid

    async def _upgrade(self, settings: Mapping[str, str]) -> None:
        self._settings.update(settings)
        await self._restart(signal.SIGTERM)

    async def _restart(self, how: signal.Signals) -> None:
        async with self._starting:
            await self._stop(how)
            await self._start_operator()

    async def _start_operator(self) -> None:
        self._incarnation += 1
        if self._incarnation > 1:
            await self._gate.begin(self._incarnation)
        environment = tenant.environment(self.namespace, self._settings)
        self._operator = await self._lab.nursery.start(
            environment, self._folder, self._log, self._bug
        )
        self._watcher = asyncio.create_task(self._watch(self._operator, self._incarnation))

    async def _stop(self, how: signal.Signals) -> None:
        """End the process, by our wish: nobody is to start it again."""
        self._ending, self._wish = self._operator, how
        try:
            if (watcher := self._watcher) is not None:
                watcher.cancel()
                await asyncio.wait([watcher])
                self._watcher = None
                if not watcher.cancelled():
                    watcher.result()  # raises what broke it
            if self._operator is not None:
                await self._end(self._operator, how)
                self._operator = None
        finally:
            self._ending = None

    async def _end(self, operator: Operator, how: signal.Signals) -> None:
        """Signal a process and put down how it ended; one that doesn't is killed, and blamed."""
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                ended = await operator.end(how)
        except TimeoutError:
            ended = await operator.end(signal.SIGKILL)
        self._run.exits.append(ended)
        if ended.code not in _WISHED[self._wish]:
            self._run.crashes.append(Crash(self._incarnation, ended.code))

    async def _watch(self, operator: Operator, incarnation: int) -> None:
        """Start the operator again where it ends of its own accord, as a kubelet does."""
        ended = await asyncio.shield(operator.exited)
        self._run.exits.append(ended)
        self._run.crashes.append(Crash(incarnation, ended.code))
        self._operator = None
        if len(self._run.crashes) < MOST_CRASHES:
            await asyncio.sleep(CRASH_PAUSE_SECONDS)
            async with self._starting:
                await self._start_operator()

    async def _end_operator(self) -> None:
        async with self._starting:
            await self._stop(signal.SIGKILL)
        self._seen()

    def _seen(self) -> Run:
        if self._log.exists():
            self._run.log = self._log.read_text(errors="replace")
        return self._run

    async def _make_namespace(self, node: str) -> str:
        """Make all that the operator and the story find there; returns the operator's token."""
        admin, lab, name = self._lab.admin, self._lab, self.namespace
        owner = await admin.create(tenant.namespace(name, lab.name, node))
        await admin.create(tenant.volume(owner))
        rights = tenant.rights(lab.rbac, lab.name, owner)
        namespaced = [tenant.claim(owner), tenant.default_account(), *rights]
        await asyncio.gather(*(self._create(manifest) for manifest in namespaced))
        account = next(one for one in rights if one["kind"] == "ServiceAccount")
        path = administration.SERVICE_ACCOUNT.path(name, account["metadata"]["name"], "token")
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        body = {**asked, "spec": {"expirationSeconds": _TOKEN_SECONDS}}
        answer = await admin.call("POST", path, body)
        await self._until_bound()
        return str(answer["status"]["token"])

    async def _create(self, manifest: Manifest) -> None:
        """Of the default account the cluster's own controller may be the maker."""
        kind = administration.kind_of(manifest)
        await self._lab.admin.ensure(manifest, self.namespace if kind.namespaced else None)

    async def _until_bound(self) -> None:
        async def nobody(_: Mapping[str, str]) -> None:
            raise AssertionError("there is no operator yet")

        hands = ApiHands(self._lab.admin, self.namespace, "", nobody, PATIENCE_SECONDS)
        await hands.until(
            kube.CLAIM,
            tenant.CLAIM,
            lambda claim: claim and claim.get("status", {}).get("phase") == "Bound",
            "the claim is bound to its volume",
        )

    async def _remove_namespace(self) -> None:
        await self._lab.admin.delete(NAMESPACE, None, self.namespace)
