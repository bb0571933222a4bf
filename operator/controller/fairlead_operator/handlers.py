"""Every kopf decorator: kopf is our informer and nothing more.

A handler hands its event to ``Intake`` and returns; it never fails, waits or writes. There are
only ``on.startup``, ``on.login`` and ``on.event``, so kopf puts no finalizer and no annotation
on anything, and deletion works with the operator dead. Its watches are kept, its worker for each
object isn't: what they tell goes straight to that handler's ``Intake``.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import kopf
from kopf._cogs.clients import api, watching  # not public, as the next; the version is pinned
from kopf._core.reactor import inventory, queueing

from fairlead_api import names, nesting
from fairlead_operator import kube
from fairlead_operator.intake import Intake
from fairlead_operator.kube import Kind

logger: Final = logging.getLogger(__name__)
REQUEST_SECONDS: Final = 30.0
CHUNK: Final = 100
"""Objects a page. All kinds are listed at once when the operator starts, and a page in memory is
some ten times as large as it was on the wire: pages of 500 were the most that it ever took."""
EVENTS_A_TURN: Final = 20
"""Events taken in before the event loop's other tasks get their turn."""
_OPTIONAL_CRD: Final = f"{kube.HTTP_ROUTE.plural}.{kube.HTTP_ROUTE.group}"


def registry(intake: Intake) -> kopf.OperatorRegistry:
    """All handlers, for one run of the operator."""
    found = kopf.OperatorRegistry()
    kopf.on.startup(registry=found)(_configure)
    kopf.on.login(registry=found)(_login)
    for kind in kube.WATCHED:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=found)(_handler(intake, kind))
    return found


def _handler(intake: Intake, kind: Kind) -> Any:
    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        intake.event(kind, event["type"], dict(event["object"]))

    seen.__name__ = f"see_{kind.kind.lower()}"
    return seen


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Narrow kopf to watching: our children only, in chunks, without a word into the cluster."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.watching.chunk_size = CHUNK
    settings.queueing.idle_timeout = 0.05  # a worker an object lives as long: keep none around
    settings.persistence.diffbase_storage = _NoDiff()
    for kind in kube.CHILDREN:
        selector = (kind.group, kind.version, kind.plural)
        settings.watching.label_selectors[selector] = names.SELECTOR_MANAGED
    # One CRD may come and go while we run; a watch on its name needs the right to read no other.
    crds = (kube.CRD.group, kube.CRD.version, kube.CRD.plural)
    settings.watching.field_selectors[crds] = f"metadata.name={_OPTIONAL_CRD}"


async def _login(logger: kopf.Logger, **kwargs: Any) -> kopf.ConnectionInfo | None:
    """In a pod by its service account, else by the kubeconfig."""
    return kopf.login_with_service_account(logger=logger, **kwargs) or kopf.login_with_kubeconfig(
        logger=logger, **kwargs
    )


class _NoDiff(kopf.DiffBaseStorage):
    """Keeps no last-seen state: we compare with the cluster, so kopf's deep copies are waste."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoMemories(inventory.ResourceMemories):
    """Remembers nothing of an object: kopf would keep some 2 KiB of each for ever."""

    async def recall(self, raw_body: Any, **options: Any) -> inventory.ResourceMemory:
        return await super().recall(raw_body, **(options | {"ephemeral": True}))


def _take_in(intake: Intake, kind: Kind, event: kopf.RawEvent) -> None:
    """Take in one event; one object that can't be kept must not end the watch of all others."""
    manifest = dict(event["object"])
    try:
        intake.event(kind, event["type"], manifest)
    except Exception:
        head = kube.metadata(manifest)
        place = f"{head.get('namespace')}/{head.get('name')}"
        logger.exception("%s %s can't be kept in the cache, it is passed over", kind.kind, place)
        intake.pass_over(kind, manifest)


class WatchEnded(Exception):
    """Kopf's watch of a kind came to an end, which it never should."""


Watcher = Callable[..., Coroutine[Any, Any, None]]
"""Kopf's: follows one kind of object for ever."""


@contextmanager
def _straight(intake: Intake) -> Iterator[None]:
    """Inside, what watches tell of our kinds goes to ``intake`` at once, in order.

    Kopf would start a worker for each object and prepare a handler's call for each event: for a
    handler that only takes over the event that is most of the operator's work (decision 004).
    """
    usual: Watcher = queueing.watcher
    ours = {(kind.group, kind.version, kind.plural): kind for kind in kube.WATCHED}

    async def watcher(*, resource: kopf.Resource, **options: Any) -> None:
        kind = ours.get((resource.group, resource.version, resource.plural))
        if kind is None:
            await usual(resource=resource, **options)
            return
        stream = watching.infinite_watch(
            settings=options["settings"],
            resource=resource,
            namespace=options["namespace"],
            operator_paused=options["operator_paused"],
        )
        num_listed = 0
        async for event in stream:
            if isinstance(event, watching.Bookmark) or event["type"] == "BOOKMARK":
                continue
            _take_in(intake, kind, event)
            # Only while listing: a watch has a timeout open here, and ends where it fires.
            num_listed += event["type"] is None
            if event["type"] is None and num_listed % EVENTS_A_TURN == 0:
                await asyncio.sleep(0)  # a page of a listing would keep the lease waiting
        raise WatchEnded(f"the watch of {kind.plural} ended; leaving, for a restart lists anew")

    queueing.watcher = watcher
    try:
        yield
    finally:
        queueing.watcher = usual


@contextmanager
def _lenient() -> Iterator[None]:
    """Inside, kopf reads whatever the API server takes: one object must not end all watches."""
    usual = {part: vars(api)[part] for part in ("json", "get", "iter_jsonlines")}

    async def get(url: str, **options: Any) -> Any:
        async with await api.request(method="get", url=url, **options) as response:
            return nesting.loads(await response.read())

    async def lines(*content: Any) -> AsyncIterator[bytes]:
        async for line in usual["iter_jsonlines"](*content):
            yield line.decode(errors="replace").encode()

    json = SimpleNamespace(loads=nesting.loads)
    vars(api).update(json=json, get=get, iter_jsonlines=lines)
    try:
        yield
    finally:
        vars(api).update(usual)


async def run(intake: Intake, namespaces: Collection[str]) -> None:
    """Watch until a signal comes; raises when a watch dies."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    with _lenient(), _straight(intake):
        await kopf.operator(
            registry=registry(intake),
            clusterwide=not namespaces,
            namespaces=namespaces,
            memories=_NoMemories(),
        )
