"""Old lists: a restarted informer is shown the past, as the API server keeps it."""

import asyncio
import dataclasses
import json
import time
from http import HTTPStatus

import aiohttp
import pytest

from fairlead_chaos import crds, faults
from fairlead_chaos.admin import Admin
from fairlead_chaos.faults import Kill, Moment, Told, Write
from fairlead_chaos.run import ProxyError
from fairlead_operator import kube

pytestmark = pytest.mark.cluster
HEADS = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
PATIENCE_SECONDS = 180  # other work runs on the same cores
SELECTOR = "labelSelector=chaos.test/proxy"
PAST_SECONDS = 15.0  # longer than a client on a busy machine takes for its lists
AT = Write("create", "configmaps", "last")
AS_OF = [
    pytest.param(Told("MODIFIED", "configmaps", "made"), id="as-of-an-event"),
    pytest.param(Write("patch", "configmaps", "made"), id="as-of-a-write"),
]


@pytest.fixture
async def fine_tune_jobs(by_token, direct):
    """The path of a kind whose first version is never kept.

    Its CRD came later. Of Kubernetes' own kinds an API server keeps even that version, where it
    began with an empty etcd and was quick.
    """
    async with Admin(by_token) as admin:
        await crds.bring_ours(admin)
    path = kube.FINETUNEJOB.path(direct.path.split("/")[-2])
    async with asyncio.timeout(PATIENCE_SECONDS):  # it is listed before it can be watched
        while (await direct.raw("GET", f"{path}?{SELECTOR}"))[0] != HTTPStatus.OK:
            await asyncio.sleep(0.2)
    return path


@pytest.mark.parametrize("audited", [False, True], ids=["true-audit", "old-audit"])
@pytest.mark.parametrize("as_of", AS_OF)
async def test_restart_is_shown_the_past_until_it_is_told_the_rest(
    chaos, direct, gone, as_of, audited
):
    old = faults.OldList(("configmaps",), as_of, PAST_SECONDS, audited)
    one = await chaos(Kill(AT, Moment.AFTER_COMMIT), old)
    informer = await one.informer()
    for name in ("a", "b", "c", "made", "gone"):  # three pages of two
        await one.caller.create(name, n="0")
    await one.caller.edit("made", n="1")
    await direct.delete("gone")
    await direct.create("late", n="0")
    await informer.until("ADDED", "late", "0")
    with gone():
        await one.caller.create("last")
    await one.restart()
    began = time.monotonic()
    again = await one.informer()
    past = {name: {"n": "0"} for name in ("a", "b", "c", "made", "gone")}
    assert again.listed == past
    heads, _ = await one.caller.list(**HEADS)
    assert (heads.keys() == past.keys()) == audited
    await again.until("ADDED", "last", None)
    assert again.told == [
        ("MODIFIED", "made", "1"),
        ("DELETED", "gone", "0"),
        ("ADDED", "late", "0"),
        ("ADDED", "last", None),
    ]
    assert again.times[0] - began >= PAST_SECONDS
    heads, _ = await one.caller.list(**HEADS)
    present = {"a", "b", "c", "made", "late", "last"}
    assert heads.keys() == present
    assert (await one.caller.list())[0].keys() == present
    assert one.trace.reached == [AT, as_of]


async def test_second_restart_is_shown_the_present(chaos, direct, gone):
    old = faults.OldList((), Write("create", "configmaps", "made"), 3600.0)
    kills = [Kill(AT, Moment.BEFORE_SEND), Kill(dataclasses.replace(AT, nth=2), Moment.BEFORE_SEND)]
    one = await chaos(*kills, old)
    await one.caller.create("made")
    for expected in ({}, {"made": None}):
        with gone():
            await one.caller.create("last")
        await one.restart()
        assert (await one.caller.list())[0] == expected


async def test_past_that_is_not_kept_fails_the_run_and_not_the_operator(
    chaos, gone, fine_tune_jobs
):
    as_of = Write("create", "configmaps", "made")
    one = await chaos(Kill(AT, Moment.BEFORE_SEND), faults.OldList((), as_of))
    await one.caller.create("made")
    with gone():
        await one.caller.create("last")
    await one.restart()
    assert (await one.caller.list())[0] == {}
    one.caller.path = fine_tune_jobs
    assert (await one.caller.list())[0] == {}
    with pytest.raises(aiohttp.ClientError):
        await anext(one.caller.watch("1"))
    with pytest.raises(ProxyError, match="finetunejobs can't be watched from the past.*Expired"):
        await one.close()


async def test_watch_from_a_version_that_is_not_kept_is_told_so(chaos, fine_tune_jobs):
    one = await chaos()
    one.caller.path = fine_tune_jobs
    event = json.loads(await anext(one.caller.watch("1")))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
