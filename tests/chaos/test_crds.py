"""Labs at the same time share CRDs; the last one takes away what labs have brought."""

import asyncio
import contextlib
import os

import pytest
import pytest_asyncio

from fairlead_chaos import crds, lifeline
from fairlead_chaos.admin import Admin
from fairlead_chaos.upstream import Upstream
from fairlead_operator import kube

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]
GROUP = f"chaos-{os.getpid()}.fairlead.test"
NAME = f"things.{GROUP}"
ONE, OTHER = (f"{lifeline.name_of(os.getpid())}-{word}" for word in ("one", "other"))
DEAD = f"{os.getpid()}-0-dead"  # of another start of a process of this number


def crd():
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    return {
        "apiVersion": kube.CRD.api_version,
        "kind": kube.CRD.kind,
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "singular": "thing"},
            "versions": [version],
        },
    }


@pytest_asyncio.fixture(loop_scope="module")
async def admin(control_plane):
    async with Admin(Upstream.of(control_plane.kubeconfig)) as opened:
        yield opened
        await opened.delete(kube.CRD, None, NAME)
        async with asyncio.timeout(crds.PATIENCE_SECONDS):
            while await stands(opened):  # the next test's create would find it on its way out
                await asyncio.sleep(0.05)


async def stands(admin):
    try:
        await admin.call("GET", kube.CRD.path(name=NAME))
    except kube.NotFound:
        return False
    return True


async def test_the_last_lab_takes_it_away(admin):
    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(crds.held(admin, [crd()], ONE))
        async with crds.held(admin, [crd()], OTHER):
            await first.aclose()
            assert await stands(admin)
    assert not await stands(admin)


async def test_a_dead_lab_holds_nothing(admin):
    head = {"name": NAME, "labels": {crds.mark(DEAD): ""}}
    await admin.create(crd() | {"metadata": head})
    async with crds.held(admin, [crd()], ONE):
        assert await stands(admin)
    assert not await stands(admin)


async def test_what_a_dead_lab_left_is_cleared(admin):
    head = {"name": NAME, "labels": {crds.mark(DEAD): ""}}
    await admin.create(crd() | {"metadata": head})
    await crds.clear(admin)
    assert not await stands(admin)


async def test_somebody_else_s_stays(admin):
    await admin.create(crd())
    async with crds.held(admin, [crd()], ONE):
        found = await admin.call("GET", kube.CRD.path(name=NAME))
        assert not found["metadata"].get("labels")
    assert await stands(admin)
