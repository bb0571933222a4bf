"""The operator's process: ``python -m fairlead_operator``.

Builds each part once and runs them all until the first one ends. A part that fails ends the
process, for a restart is the way out of a dead watch, a lost lease or a stalled loop.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar, cast

import prometheus_client
from aiohttp import web

from fairlead_operator import lean

lean.prepare()  # before kopf looks for the client and loads every model there is
with lean.without_the_other_client():
    import kopf

from fairlead_api.base import Resource
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_operator import (
    certificates,
    cluster,
    handlers,
    kube,
    progress,
    progresswriter,
    telemetry,
)
from fairlead_operator.audit import Audit
from fairlead_operator.cluster import ApiCluster
from fairlead_operator.doorkeeper import Doorkeeper
from fairlead_operator.finetune import plan as finetune
from fairlead_operator.intake import Intake
from fairlead_operator.leader import Leader
from fairlead_operator.observe import Observer
from fairlead_operator.plan import Observed, Plan
from fairlead_operator.reconcile import Planner, Reconciler
from fairlead_operator.serving import plan as serving
from fairlead_operator.settings import Settings, SettingsError
from fairlead_operator.store import Key, Store
from fairlead_operator.telemetry import Telemetry
from fairlead_operator.watchdog import Watchdog
from fairlead_operator.workqueue import WorkQueue

AnswerT = TypeVar("AnswerT")
logger: Final = logging.getLogger("fairlead_operator")
START_POLL_SECONDS: Final = 2.0
BATCH_SECONDS: Final = 1.0
"""As Kubernetes' Job controller waits for more of its pods' events."""


class Operator:
    """One replica: its parts, each built once."""

    def __init__(self, settings: Settings, api: ApiCluster, tally: Telemetry) -> None:
        self.settings, self.api, self.tally = settings, api, tally
        self.store, self.queue = Store(), WorkQueue[Key](BATCH_SECONDS)
        self.intake = Intake(self.store, self.queue)
        self.leader = Leader(api, settings.namespace, settings.lease_name, settings.pod_name)
        self.audit = Audit(api, self.store, self.intake, settings.watch_namespaces)
        self.observer = Observer(api, self.store, time.monotonic, settings.default_gateway)
        self.writer = progresswriter.Writer(api, self.store, tally)
        self.certificate = certificates.Keeper(
            api, settings.namespace, settings.certificate_secret, settings.progress_host
        )
        tally.watch(self.store, self.queue, lambda: self.leader.leads)

    async def run(self) -> None:
        """Run every part until the first one ends."""
        await self._wait_for_crds()
        async with AsyncExitStack() as stack:
            await self._serve(stack)
            parts: list[Coroutine[Any, Any, None]] = [
                handlers.run(self.intake, self.settings.watch_namespaces),
                self.leader.hold(),
                self._lead(),
                self.writer.forever(),
                Watchdog().beat(),
            ]
            if self.settings.progress_url:
                parts.append(self.certificate.keep())
            await _until_first([asyncio.create_task(part) for part in parts])

    async def _lead(self) -> None:
        """Once elected: level the cache, then reconcile."""
        await self.leader.elected.wait()
        await patiently("level the cache", self.audit.run)
        self.intake.resync()
        reconciler = Reconciler(
            self.api.fenced(self.leader.check),
            self.store,
            self.queue,
            self.observer,
            planners(self.settings, lambda: self.certificate.authority),
            lambda: datetime.now(UTC),
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.workers):
                group.create_task(reconciler.work(self.tally, time.monotonic))
            group.create_task(self.audit.forever(self.settings.resync_seconds))
            group.create_task(self.observer.notice_gateway_api(self.intake.resync))

    async def _serve(self, stack: AsyncExitStack) -> None:
        """Open the ports; that of the progress endpoint only where it has an address."""

        async def leave() -> None:
            await self.writer.flush()
            await self.leader.release()

        stack.push_async_callback(leave)
        settings = self.settings
        pages: list[tuple[web.Application, int, dict[str, Any]]] = [
            (telemetry.metrics_app(self.tally), settings.metrics_port, {}),
            (telemetry.probes_app(self.queue), settings.probes_port, {}),
        ]
        if settings.progress_url:
            await patiently("get the progress endpoint's certificate", self.certificate.renew)
            page = progress.app(Doorkeeper(self.api, self.store), self.writer, self.tally)
            pages.append((page, settings.progress_port, {"ssl_context": self.certificate.context}))
        for app, port, options in pages:
            runner = await telemetry.serve(app, port, **options)
            stack.push_async_callback(runner.cleanup)

    async def _wait_for_crds(self) -> None:
        """Kopf watches only what is served when it starts; our own CRDs come with the chart."""
        for kind in kube.PARENTS:
            while not await patiently("ask for our kinds", partial(self.api.serves, kind)):
                logger.warning("waiting for the CRD of %s: install the chart's CRDs", kind.kind)
                await asyncio.sleep(START_POLL_SECONDS)


async def patiently(what: str, call: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
    """Ask until the API server has time: a restart would do no more, and later each time."""
    while True:
        try:
            return await call()
        except (kube.Unavailable, kube.Unauthorized) as error:
            logger.warning("can't %s yet, trying again: %s", what, error)
            await asyncio.sleep(START_POLL_SECONDS)


def planners(settings: Settings, authority: Callable[[], str]) -> dict[kube.Kind, Planner]:
    """The rules of each kind of resource, with the administrator's options.

    ``authority`` gives the progress endpoint's CA as of now: it may be followed by another.
    """
    inference = settings.serving()

    def plan_job(resource: Resource, observed: Observed, now: datetime) -> Plan:
        training = settings.finetune(authority())
        return finetune.plan(cast(FineTuneJob, resource), observed, now, training)

    def plan_service(resource: Resource, observed: Observed, now: datetime) -> Plan:
        return serving.plan(cast(ModelService, resource), observed, now, inference)

    return {
        kube.FINETUNEJOB: Planner(FineTuneJob.read, plan_job),
        kube.MODELSERVICE: Planner(ModelService.read, plan_service),
    }


async def _until_first(tasks: list[asyncio.Task[None]]) -> None:
    """Return when one task does, raise what it raised; end the others first."""
    try:
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def run(settings: Settings) -> None:
    """Run one replica until a signal comes; raises what ended it otherwise."""
    asyncio.get_running_loop().set_exception_handler(_complain)
    tally = Telemetry()
    api = ApiCluster(await cluster.configuration(), tally.requested)
    try:
        await Operator(settings, api, tally).run()
    finally:
        await api.close()


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task took care of, but for kopf's watches that are cut off on the way out."""
    if "asyncgen" not in context:
        loop.default_exception_handler(context)


def main() -> int:
    """Read the settings and run; the exit code is 0 after a signal only."""
    kopf.configure(log_format=kopf.LogFormat.JSON)
    logging.getLogger("asyncio").propagate = True  # kopf silences it
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        logger.critical("%s", error)
        return 2
    logging.getLogger().setLevel(settings.log_level)
    try:
        asyncio.run(run(settings))
    except Exception:
        logger.critical("the operator ends", exc_info=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
