"""What the proxy has seen so far: versions of objects, their names, and which occurrence is which.

Pure state of one run, over all incarnations of the operator. Versions are those of one etcd: they
compare as numbers.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead_chaos import requests
from fairlead_chaos.faults import Told, Write
from fairlead_chaos.requests import Asked
from fairlead_chaos.streams import Event

Place = tuple[str, str, str]
"""Plural, namespace, name."""
_UNKNOWN: Final = 0


def number(version: object) -> int:
    """A resourceVersion as a number; 0 where it is none."""
    text = str(version or "")
    return int(text) if text.isdigit() else _UNKNOWN


@dataclass
class History:
    """Versions, names and counts."""

    newest: int = 0
    """The highest resourceVersion seen of anything."""
    _versions: dict[Place, int] = field(default_factory=dict)
    _generated: dict[Place, str] = field(default_factory=dict)
    _writes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _told: dict[tuple[str, str, str, str, str], Told] = field(default_factory=dict)

    def count_write(self, asked: Asked, body: bytes) -> Write:
        """Name a request that has arrived, and say which of its kind it is."""
        name = asked.name
        if asked.verb == "create" and not name:
            name = requests.told_name(requests.metadata(requests.decoded(body)))
        else:
            place = (asked.plural, asked.namespace, name)
            name = self._generated.get(place, name)
        same = (asked.verb, asked.resource, name)
        self._writes[same] += 1
        return Write(*same, nth=self._writes[same])

    def give_back(self, write: Write) -> None:
        """Count a request no more: the next one of its kind has its number, unless one had more."""
        same = (write.verb, write.resource, write.name)
        if self._writes[same] == write.nth:
            self._writes[same] -= 1

    def count_event(self, plural: str, event: Event) -> Told:
        """Name a watch event; one that is told anew by a later stream keeps its number."""
        what = (event.type, plural, event.namespace, event.name, event.version)
        if what not in self._told:
            same = (event.type, plural, event.told_name)
            self._events[same] += 1
            self._told[what] = Told(*same, nth=self._events[same])
        return self._told[what]

    def saw_event(self, plural: str, event: Event) -> None:
        """Take in the version that an event carries."""
        self.newest = max(self.newest, number(event.version))
        if event.is_of_object:
            head = {
                "namespace": event.namespace,
                "name": event.name,
                "resourceVersion": event.version,
            }
            if event.told_name != event.name:
                self._generated[plural, event.namespace, event.name] = event.told_name
            self._saw(plural, head)

    def saw_reply(self, plural: str, body: Any) -> None:
        """Take in the versions of an object or of a listing."""
        head = requests.metadata(body)
        items = body.get("items") if isinstance(body, dict) else None
        if isinstance(items, list):
            self.newest = max(self.newest, number(head.get("resourceVersion")))
            for item in items:
                self._saw(plural, requests.metadata(item))
        elif "name" in head:
            self._saw(plural, head)

    def version(self, plural: str, namespace: str, name: str) -> int:
        """The latest version seen of an object; 0 where none was."""
        return self._versions.get((plural, namespace, name), _UNKNOWN)

    def _saw(self, plural: str, head: dict[str, Any]) -> None:
        place = (plural, head.get("namespace", ""), head.get("name", ""))
        version = number(head.get("resourceVersion"))
        self._versions[place] = max(self._versions.get(place, _UNKNOWN), version)
        self.newest = max(self.newest, version)
        if head.get("generateName"):
            self._generated[place] = requests.told_name(head)
