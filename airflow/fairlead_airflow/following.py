"""Waits in the worker, for tasks that are not deferred."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from fairlead_airflow import hooks, waiting
from fairlead_airflow.manifests import Manifest

WINDOW_SECONDS: Final = 30
"""Longest watch before the resource is read again."""
PAUSE_SECONDS: Final = 2.0
"""Between two tries to reach the API server."""
_DELETED: Final = "DELETED"


def until_done(
    there: hooks.FairleadHook,
    of: hooks.Target,
    judge: Callable[[Manifest | None], waiting.Seen],
    say: Callable[..., Any],
) -> dict[str, str]:
    """Wait until a resource is what ``judge`` calls done; returns what a trigger would yield."""
    lines = waiting.Lines(str(of), say, time.monotonic)
    for body in versions(there, of, say):
        seen = judge(body)
        lines.tell(seen)
        lines.repeat()
        if (event := waiting.event(seen)) is not None:
            return event
    raise AssertionError("versions never ends")


def until_gone(
    there: hooks.FairleadHook, of: hooks.Target, uid: str, say: Callable[..., Any]
) -> None:
    """Wait until a resource that is being deleted is not there any more."""
    say("waiting until %s is gone", of)
    for body in versions(there, of, say):
        if body is None or body["metadata"]["uid"] != uid:
            return


def versions(
    there: hooks.FairleadHook, of: hooks.Target, say: Callable[..., Any]
) -> Iterator[Manifest | None]:
    """Yield each version of a resource, None where there is none, through failing connections."""
    while True:
        try:
            body = there.read(of)
            yield body
            version = body["metadata"]["resourceVersion"] if body else "0"
            for event, changed in there.follow(of, version, WINDOW_SECONDS):
                yield None if event == _DELETED else changed
        except hooks.Unreachable as unreachable:
            say("%s: %s; trying again", of, unreachable)
            time.sleep(PAUSE_SECONDS)
