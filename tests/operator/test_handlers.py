"""Kopf watches for us and does nothing else."""

import asyncio
import contextlib
import logging

import pydantic_core
import pytest

from fairlead_api import nesting
from fairlead_operator import handlers, kube

kopf = handlers.kopf


@pytest.fixture
def registry(world):
    return handlers.registry(world.intake)


@pytest.fixture
async def configured():
    settings = kopf.OperatorSettings()
    await handlers._configure(settings=settings)
    return settings


def resource(kind):
    return kopf.Resource(
        group=kind.group, version=kind.version, plural=kind.plural, kind=kind.kind, preferred=True
    )


def test_every_watched_kind_has_one_handler(registry):
    for kind in kube.WATCHED:
        assert len(registry._watching.get_all_handlers()) == len(kube.WATCHED)
        assert registry._watching.has_handlers(resource=resource(kind)), kind


def test_nothing_makes_kopf_write_to_an_object(registry):
    for store in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert store.get_all_handlers() == []


@pytest.mark.parametrize("kind", kube.CHILDREN, ids=lambda kind: kind.plural)
async def test_of_children_only_ours_are_asked_for(configured, kind):
    selectors = configured.watching.label_selectors.collect(resource(kind))
    assert selectors == ["app.kubernetes.io/managed-by=fairlead"]


@pytest.mark.parametrize("kind", kube.PARENTS, ids=lambda kind: kind.plural)
async def test_resources_need_no_label(configured, kind):
    assert configured.watching.label_selectors.collect(resource(kind)) == []


async def test_of_crds_only_the_optional_one_is_watched(configured):
    fields = configured.watching.field_selectors.collect(resource(kube.CRD))
    assert fields == ["metadata.name=httproutes.gateway.networking.k8s.io"]
    assert len(kube.OPTIONAL) == 1, "one field selector names one CRD"


async def test_no_event_is_posted(configured):
    assert not configured.posting.enabled


async def test_an_event_reaches_the_cache_and_the_queue(world, job):
    handler = handlers._handler(world.intake, kube.FINETUNEJOB)
    seen = job | {"metadata": job["metadata"] | {"uid": "u", "resourceVersion": "5"}}
    await handler(event={"type": "ADDED", "object": seen})
    assert world.store.get(kube.FINETUNEJOB, "team", "tune") is not None
    assert (await world.queue.get()).name == "tune"


async def test_kopf_keeps_nothing_of_an_object(job):
    memories = handlers._NoMemories()
    body = job | {"metadata": job["metadata"] | {"uid": "u"}}
    await memories.recall(body, noticed_by_listing=True)
    assert list(memories.iter_all_memories()) == []


@pytest.fixture
def watched(world, job, monkeypatch):
    """Follows a kind as kopf would, from a watch that tells of a listed job and of its end."""
    told = {"metadata": job["metadata"] | {"uid": "u", "resourceVersion": "5"}}
    events = [
        {"type": None, "object": job | told},
        handlers.watching.Bookmark.LISTED,
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
    ]
    usual = []

    async def infinite_watch(**_):
        for event in events:
            yield event

    async def watcher(**options):
        usual.append(options["resource"])

    monkeypatch.setattr(handlers.watching, "infinite_watch", infinite_watch)
    monkeypatch.setattr(handlers.queueing, "watcher", watcher)

    async def follow(kind):
        with handlers._straight(world.intake), contextlib.suppress(handlers.WatchEnded):
            await handlers.queueing.watcher(
                resource=resource(kind), settings=None, namespace=None, operator_paused=None
            )
        assert handlers.queueing.watcher is watcher, "others' operators keep kopf's own"

    return follow, usual


async def test_what_a_watch_tells_goes_straight_to_the_cache(world, watched):
    follow, usual = watched
    await follow(kube.FINETUNEJOB)
    assert world.store.get(kube.FINETUNEJOB, "team", "tune") is not None
    assert (await world.queue.get()).name == "tune"
    assert usual == []


async def test_a_long_listing_lets_others_have_their_turn(world, job, monkeypatch):
    turns = []

    async def infinite_watch(**_):
        for number in range(handlers.EVENTS_A_TURN * 3):
            head = {"name": f"j{number}", "uid": str(number), "resourceVersion": "5"}
            yield {"type": None, "object": job | {"metadata": job["metadata"] | head}}

    async def other():
        while True:
            turns.append(len(list(world.store.keys(kube.FINETUNEJOB))))
            await asyncio.sleep(0)

    monkeypatch.setattr(handlers.watching, "infinite_watch", infinite_watch)
    task = asyncio.create_task(other())
    with handlers._straight(world.intake), pytest.raises(handlers.WatchEnded, match="finetunejobs"):
        await handlers.queueing.watcher(
            resource=resource(kube.FINETUNEJOB), settings=None, namespace=None, operator_paused=None
        )
    task.cancel()
    assert turns == [handlers.EVENTS_A_TURN * number for number in (1, 2, 3)]


async def test_one_object_that_cannot_be_kept_ends_no_watch(world, watched, caplog, monkeypatch):
    follow, _ = watched
    taken = world.intake.event

    def refuse_once(kind, type_, manifest):
        monkeypatch.setattr(world.intake, "event", taken)
        raise ValueError("of a shape that nobody knows")

    monkeypatch.setattr(world.intake, "event", refuse_once)
    with caplog.at_level(logging.ERROR):
        await follow(kube.FINETUNEJOB)
    assert "FineTuneJob team/tune can't be kept" in caplog.text
    assert world.store.is_settled(kube.FINETUNEJOB, "team", "tune", 5)
    assert not world.store.is_settled(kube.FINETUNEJOB, "team", "tune", 6)
    await follow(kube.FINETUNEJOB)
    assert world.store.get(kube.FINETUNEJOB, "team", "tune") is not None


ODD = {
    "half-a-surrogate-pair": b'{"object": {"a": "\\ud800"}}',
    "no-text": b'{"object": {"a": "\xff"}}',
    "deep": b'{"object": {"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
    "long-number": b'{"object": {"a": ' + b"1" * 5_000 + b"}}",
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD)
async def test_kopf_reads_what_the_api_server_takes(line, monkeypatch):
    """By kopf's own stream, whose parts it reads from a module that isn't public."""

    class Content:
        async def iter_chunked(self, size):
            yield line + b"\n" + line[:9]
            yield line[9:] + b"\n"

    class Response:
        content = Content()

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        def close(self):
            pass

        async def read(self):
            return line

    async def request(**_):
        return Response()

    monkeypatch.setattr(handlers.api, "request", request)
    with handlers._lenient():
        options = {"settings": None, "logger": logging.getLogger()}
        told = [each async for each in handlers.api.stream(url="/watch", **options)]
        listed = await handlers.api.get(url="/list", **options)
    assert [*told, listed] == [nesting.loads(line)] * 3
    pydantic_core.to_json(listed)
    assert handlers.api.json.__name__ == "json"


async def test_a_watch_that_may_time_out_is_never_waited_in(world, job, monkeypatch):
    """Kopf's timeout is open while an event of a watch is taken in: it would cancel the watcher."""
    turns = []

    async def infinite_watch(**_):
        for number in range(handlers.EVENTS_A_TURN * 2):
            head = {"name": f"j{number}", "uid": str(number), "resourceVersion": "5"}
            yield {"type": "ADDED", "object": job | {"metadata": job["metadata"] | head}}
        yield {"type": "BOOKMARK", "object": {}}

    async def other():
        turns.append(len(list(world.store.keys(kube.FINETUNEJOB))))

    monkeypatch.setattr(handlers.watching, "infinite_watch", infinite_watch)
    task = asyncio.create_task(other())
    with handlers._straight(world.intake), contextlib.suppress(handlers.WatchEnded):
        await handlers.queueing.watcher(
            resource=resource(kube.FINETUNEJOB), settings=None, namespace=None, operator_paused=None
        )
    assert turns == []
    await task


async def test_kopf_follows_itself_what_it_needs_itself(world, watched):
    follow, usual = watched
    await follow(kube.CRD)
    assert [found.plural for found in usual] == [kube.CRD.plural]
    assert list(world.store.keys(kube.CRD)) == []


def test_kopf_starts_its_watches_where_ours_is_put(world):
    """Its own module is asked at each start: else our watcher would never be called."""
    from kopf._core.reactor import orchestration

    with handlers._straight(world.intake):
        assert orchestration.queueing.watcher.__module__ == handlers.__name__
