"""Takes in what the watches tell: the cache is brought up to date, the keys concerned queued.

No I/O, no rule of any kind of resource beyond whom a change concerns.
"""

import asyncio
from typing import Final

from fairlead_operator import kube
from fairlead_operator.kube import Kind
from fairlead_operator.plan import Manifest
from fairlead_operator.store import Key, Store, parent_of
from fairlead_operator.workqueue import WorkQueue

DELETED: Final = "DELETED"


class Intake:
    """The one entrance to the cache for watch events."""

    def __init__(self, store: Store, queue: WorkQueue[Key]) -> None:
        self._store, self._queue = store, queue
        self.listed_again = asyncio.Event()
        """Set when a watch had to list anew: deletions meanwhile were never told."""

    def event(self, kind: Kind, type_: str | None, manifest: Manifest) -> None:
        """Take in one event; ``type_`` None is an entry of a listing."""
        head = kube.metadata(manifest)
        namespace, name = head.get("namespace", ""), head["name"]
        if type_ == DELETED:
            self._store.drop(kind, namespace, name, head["uid"], kube.version(manifest))
            changed = True
        else:
            if type_ is None and self._store.uid(kind, namespace, name) is not None:
                self.listed_again.set()
            changed = self._store.put(kind, manifest)
        self._concern(kind, manifest, Key(kind, namespace, name), changed)

    def pass_over(self, kind: Kind, manifest: Manifest) -> None:
        """An object can't be kept: what was seen of it before stands, and is not waited beyond."""
        head = kube.metadata(manifest)
        version = kube.version(manifest)
        self._store.pass_over(kind, head.get("namespace", ""), head["name"], version)

    def forget(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """An object turned out to be gone without an event."""
        manifest = self._store.get(kind, namespace, name)
        if manifest is not None and self._store.drop(kind, namespace, name, uid):
            self._concern(kind, manifest, Key(kind, namespace, name), changed=True)

    def resync(self) -> None:
        """Queue every resource now, as if each had changed."""
        for key in self._parents():
            self._queue.add(key)

    def resync_within(self, seconds: float) -> None:
        """Queue every resource once within that time, evenly: nothing calls for a burst."""
        keys = self._parents()
        for place, key in enumerate(keys):
            self._queue.add_after(key, seconds * place / len(keys))

    def _parents(self) -> list[Key]:
        return [key for kind in kube.PARENTS for key in self._store.keys(kind)]

    def _concern(self, kind: Kind, manifest: Manifest, key: Key, changed: bool) -> None:
        """Queue whom a change concerns; the echo of our own status write concerns nobody.

        A spec that changes is acted on at once. Children come in bursts: a Job that begins is
        worth some ten events within a second.
        """
        if kind.child:
            parent = parent_of(manifest)
            if parent is not None:
                self._queue.add_soon(parent)
            return
        if changed:
            self._queue.add(key)
        for service in self._store.services_of(key):
            self._queue.add(service)
