"""The kinds that a lab needs besides Kubernetes' own: ours, and those of the Gateway API.

Ours stay. The Gateway API goes with the last lab, since other tests of the cluster are about its
absence: every lab leaves a mark on its CRDs, and one that finds no other living lab's mark when it
ends deletes them. ``clear`` takes away what dead ones left. CRDs without a mark are somebody else's
and stay as they are.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import yaml

from fairlead_api import crd, names
from fairlead_chaos import lifeline
from fairlead_chaos.admin import GATEWAY_CLASS, HEADS, Admin
from fairlead_chaos.scenario import Manifest
from fairlead_operator import kube
from fairlead_operator.kube import CRD, Kind

GATEWAY_API: Final = (GATEWAY_CLASS, kube.GATEWAY, kube.HTTP_ROUTE)
PATIENCE_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2
_MARK: Final = f"chaos-lab.{names.GROUP}/"
_APPLY: Final = "application/apply-patch+yaml"
_open: Final[set[str]] = set()
"""Labs of this process that hold CRDs: it may live on where one of its labs could not let go."""


async def bring_ours(admin: Admin) -> None:
    """Apply our CRDs and wait until they are served."""
    for body in (crd.finetunejob_crd(), crd.modelservice_crd()):
        path = CRD.path(name=body["metadata"]["name"])
        params = {"fieldManager": "kubectl", "force": "true"}
        await admin.call("PATCH", path, body, params=params, content_type=_APPLY)
    await _until_served(admin, kube.PARENTS)


@contextlib.asynccontextmanager
async def gateway_api(admin: Admin, folder: Path, lab: str) -> AsyncIterator[None]:
    """Have the Gateway API while the context is open; ``folder`` holds a file of each CRD."""
    files = (folder / f"{kind.group}_{kind.plural}.yaml" for kind in GATEWAY_API)
    async with held(admin, [yaml.safe_load(file.read_text()) for file in files], lab):
        await _until_served(admin, GATEWAY_API)
        yield


@contextlib.asynccontextmanager
async def held(admin: Admin, found: Sequence[Manifest], lab: str) -> AsyncIterator[None]:
    """Have some CRDs while the context is open, and as long as another lab has."""
    _open.add(lab)
    try:
        async with asyncio.TaskGroup() as group:  # none makes a CRD after another has failed
            for each in found:
                group.create_task(_hold(admin, each, lab))
        yield
    finally:
        try:
            await _let_all_go(admin, [(each["metadata"]["name"], lab) for each in found])
        finally:
            _open.discard(lab)


async def clear(admin: Admin) -> None:
    """Take dead labs' marks off all CRDs, and delete those that bear no other."""
    listed = await admin.listing(CRD, accept=HEADS)
    heads = map(kube.metadata, listed["items"] or [])
    marks = [(head["name"], lab) for head in heads for lab in _marks(head)]
    await _let_all_go(admin, [(name, lab) for name, lab in marks if not _is_open(lab)])


async def _let_all_go(admin: Admin, marks: Sequence[tuple[str, str]]) -> None:
    """Let go of each of these CRDs, also where that fails with another one."""
    letting = (_let_go(admin, name, lab) for name, lab in marks)
    ends = await asyncio.gather(*letting, return_exceptions=True)
    if failures := [end for end in ends if isinstance(end, Exception)]:
        raise ExceptionGroup("CRDs could not be let go", failures)


async def _hold(admin: Admin, body: Manifest, lab: str) -> None:
    """Make a CRD, or put a mark on another lab's before that can delete it."""
    head = body["metadata"]
    made = body | {"metadata": head | {"labels": (head.get("labels") or {}) | {mark(lab): ""}}}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await admin.ensure(made)
            with contextlib.suppress(kube.NotFound, kube.Conflict):
                standing = kube.metadata(await _read(admin, head["name"]))
                if "deletionTimestamp" not in standing:
                    if (marks := _marks(standing)) and lab not in marks:
                        await _mark(admin, standing, lab, "")
                    return
            await asyncio.sleep(_POLL_SECONDS)


async def _let_go(admin: Admin, name: str, lab: str) -> None:
    """Take the mark off a CRD, or delete it and wait until it is gone where no other needs it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(kube.Conflict):
                try:
                    standing = kube.metadata(await _read(admin, name))
                except kube.NotFound:
                    return
                marks = _marks(standing)
                if lab not in marks:
                    return
                if any(map(_is_open, marks - {lab})):
                    await _mark(admin, standing, lab, None)
                elif "deletionTimestamp" not in standing:
                    await _delete(admin, standing)
            await asyncio.sleep(_POLL_SECONDS)


async def _read(admin: Admin, name: str) -> Manifest:
    return await admin.call("GET", CRD.path(name=name))


async def _mark(admin: Admin, standing: Manifest, lab: str, value: str | None) -> None:
    """Put a mark on what was seen, or take it off: what has changed since is a Conflict."""
    unchanged = {"resourceVersion": standing["resourceVersion"]}
    change = {"metadata": unchanged | {"labels": {mark(lab): value}}}
    await admin.patch(CRD, None, standing["name"], change)


async def _delete(admin: Admin, standing: Manifest) -> None:
    unchanged = {"uid": standing["uid"], "resourceVersion": standing["resourceVersion"]}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": unchanged}
    with contextlib.suppress(kube.NotFound):
        await admin.call("DELETE", CRD.path(name=standing["name"]), options)


def mark(lab: str) -> str:
    """The label that says that a lab uses a CRD."""
    return _MARK + lab


def _marks(head: Manifest) -> set[str]:
    """The labs whose marks a CRD bears, the dead among them."""
    labels = head.get("labels") or {}
    return {label.removeprefix(_MARK) for label in labels if label.startswith(_MARK)}


def _is_open(lab: str) -> bool:
    """Whether a lab lives; of this process's own it isn't enough that the process does."""
    is_own = lab.startswith(f"{lifeline.name_of(os.getpid())}-")
    return lab in _open if is_own else lifeline.is_alive(lab)


async def _until_served(admin: Admin, kinds: Sequence[Kind]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for kind in kinds:
            while not await _is_served(admin, kind):
                await asyncio.sleep(_POLL_SECONDS)


async def _is_served(admin: Admin, kind: Kind) -> bool:
    try:
        await admin.listing(kind, params={"limit": "1"})
    except kube.NotFound:
        return False
    return True
