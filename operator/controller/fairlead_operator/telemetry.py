"""What the operator tells about itself: ``/metrics`` and ``/healthz``.

Counts and answers; decides nothing. Every metric's name stands in ``fairlead_api.metrics``.
"""

from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from fairlead_api import metrics
from fairlead_operator import kube
from fairlead_operator.kube import Kind
from fairlead_operator.store import Key, Store
from fairlead_operator.workqueue import WorkQueue

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STALL_SECONDS: Final = 300.0
"""Keys that wait this long while no pass ends mean that no work is done."""


class Telemetry:
    """The operator's own registry; one an instance, so that tests don't share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        by_kind, by_request = [metrics.LABEL_KIND], [metrics.LABEL_VERB, metrics.LABEL_RESOURCE]
        self._reconciles = self._counter(
            metrics.RECONCILES, "Passes over resources.", [*by_kind, metrics.LABEL_OUTCOME]
        )
        self._seconds = self._histogram(metrics.RECONCILE_SECONDS, "Time of a pass.", by_kind)
        self._requests = self._counter(
            metrics.API_REQUESTS, "Requests to the API server.", [*by_request, metrics.LABEL_CODE]
        )
        self._request_seconds = self._histogram(
            metrics.API_SECONDS, "Time of a request to the API server.", by_request
        )
        self._reports = self._counter(
            metrics.PROGRESS_REPORTS,
            "Progress reports by the code of their answer.",
            [metrics.LABEL_CODE],
        )
        self._progress_writes = self._counter(
            metrics.PROGRESS_WRITES, "Writes of status.progress.", [metrics.LABEL_OUTCOME]
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_BUCKETS)

    def reconciled(self, kind: Kind, outcome: str, seconds: float) -> None:
        """Count one pass."""
        self._reconciles.labels(kind.kind, outcome).inc()
        self._seconds.labels(kind.kind).observe(seconds)

    def requested(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one request to the API server."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._request_seconds.labels(verb, resource).observe(seconds)

    def reported(self, code: int) -> None:
        """Count one progress report."""
        self._reports.labels(str(code)).inc()

    def wrote_progress(self, outcome: str) -> None:
        """Count one write of status.progress."""
        self._progress_writes.labels(outcome).inc()

    def watch(self, store: Store, queue: WorkQueue[Key], leads: Callable[[], bool]) -> None:
        """Read gauges off the operator's parts at each scrape."""
        self.registry.register(_Parts(store, queue, leads))

    def value(self, name: str, **labels: str) -> float:
        """A sample's value now, 0 where it was never set; for tests and for the log."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Parts(Collector):
    """Gauges that are read when asked for."""

    def __init__(self, store: Store, queue: WorkQueue[Key], leads: Callable[[], bool]) -> None:
        self._store, self._queue, self._leads = store, queue, leads

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read the parts."""
        leads = self._leads()
        depth = len(self._queue) if leads else 0  # a standby's keys wait for no worker
        yield _gauge(metrics.QUEUE_DEPTH, "Keys that wait for a worker.", depth)
        age = self._queue.oldest_seconds()
        yield _gauge(metrics.QUEUE_AGE_SECONDS, "Age of the key that waits longest.", age)
        yield _gauge(metrics.LEADER, "Whether this replica reconciles.", float(leads))
        jobs = GaugeMetricFamily(
            metrics.JOBS, "FineTuneJobs by phase.", labels=[metrics.LABEL_PHASE]
        )
        if leads:  # so that the sum over all replicas is the number of jobs
            for phase, count in sorted(self._store.phases(kube.FINETUNEJOB).items()):
                jobs.add_metric([phase or "New"], count)
        yield jobs


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def metrics_app(telemetry: Telemetry) -> web.Application:
    """Serves ``/metrics``."""

    async def answer(_request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=telemetry.exposition(), headers=headers)

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app


def probes_app(queue: WorkQueue[Key]) -> web.Application:
    """Serves ``/healthz``: 200 while work is done, 503 with the reason otherwise."""

    async def answer(_request: web.Request) -> web.Response:
        stalled = queue.stalled_seconds()
        if stalled > STALL_SECONDS:
            text = f"{len(queue)} keys wait and no pass has ended for {stalled:.0f} s"
            return web.Response(status=503, text=text)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/healthz", answer)
    return app


async def serve(app: web.Application, port: int, **options: object) -> web.AppRunner:
    """Serve an app on every address; clean the runner up when done."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, port, **options).start()  # type: ignore[arg-type]
    return runner
