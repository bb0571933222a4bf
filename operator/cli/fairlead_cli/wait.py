"""``fairlead wait``: follow one resource to its end, telling each change once.

What doesn't change is told again from time to time, so that nobody takes waiting for hanging.

Holds no state of its own, so it may be killed and started again at any moment; a restart of the
API server costs one line.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from pydantic import ValidationError

from fairlead_api import outcome
from fairlead_cli import cluster, errors, target

WINDOW_SECONDS: Final = 10
"""Longest watch before the resource is read again."""
REPEAT_SECONDS: Final = 30
"""Longest silence, give or take a window."""
PAUSE_SECONDS: Final = 1.0
"""Between two tries to reach the API server."""
LAST_LINES: Final = 20

Say = Callable[[str], None]
Clock = Callable[[], float]


class Reader(Protocol):
    """What waiting needs of a cluster."""

    def get(self, of: target.Target) -> dict[str, Any]:
        """Read the resource."""
        ...

    def follow(
        self, of: target.Target, resource_version: str, seconds: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield its changes."""
        ...

    def pods(self, of: target.Target) -> list[dict[str, Any]]:
        """Its pods."""
        ...

    def last_lines(self, of: target.Target, pod: str, container: str, count: int) -> str:
        """The end of a container's log."""
        ...


def until_done(
    reader: Reader,
    of: target.Target,
    timeout_seconds: float,
    say: Say,
    clock: Clock = time.monotonic,
) -> None:
    """Wait until the resource is complete or ready; returns only then.

    Raises:
        CliError: When it failed, or was deleted meanwhile; of a failure the message holds the
            condition's and the failed pods' lines.
        TimedOut: When the time is over.
        NotFound: When it isn't there.
    """
    last = ""
    begun = told = clock()
    for body in _versions(reader, of, begun + timeout_seconds, say, clock):
        now = assess(of, body)
        if isinstance(now, outcome.Failed):
            raise errors.CliError(failure(reader, of, now))
        if now.line != last:
            say(f"{of}: {now.line}")
            last, told = now.line, clock()
        elif clock() - told >= REPEAT_SECONDS:
            told = clock()
            say(f"{of}: {now.line}  ({told - begun:.0f} s waited)")
        if isinstance(now, outcome.Succeeded):
            return
    raise errors.TimedOut(f"{of} is not done after {timeout_seconds:.0f} s; it was: {last}")


def assess(of: target.Target, body: dict[str, Any]) -> outcome.Outcome:
    """Read a resource and judge it.

    Raises:
        CliError: When this version of the tool can't read it.
    """
    try:
        return outcome.of_body({"kind": of.kind, **body})
    except ValidationError as unreadable:
        raise errors.CliError(
            f"{of} can't be read by this version of fairlead: {unreadable}"
        ) from unreadable


def _versions(
    reader: Reader, of: target.Target, deadline: float, say: Say, clock: Clock
) -> Iterator[dict[str, Any]]:
    """Each version of the resource until the time is over, through failing connections."""
    is_lost, uid = False, None
    while (left := deadline - clock()) > 0:
        try:
            body = _read(reader, of, uid)
            is_lost, uid = False, body["metadata"].get("uid", "")
            yield body
            window = max(1, min(WINDOW_SECONDS, int(left)))
            version = body["metadata"]["resourceVersion"]
            for event, changed in reader.follow(of, version, window):
                if event == "DELETED":
                    raise errors.CliError(f"{of} was deleted")
                yield changed
        except cluster.Unreachable as unreachable:
            if not is_lost:
                say(f"{of}: {unreachable}; trying again")
            is_lost = True
            time.sleep(PAUSE_SECONDS)


def _read(reader: Reader, of: target.Target, uid: str | None) -> dict[str, Any]:
    """The resource as it is now.

    Raises:
        CliError: When it isn't any more the one of this uid, which was read before.
        NotFound: When none was read before, and there is none.
        Unreachable: When the API server doesn't answer.
    """
    try:
        body = reader.get(of)
    except cluster.NotFound as absent:
        if uid is None:
            raise
        raise errors.CliError(f"{of} was deleted: {absent}") from absent
    if uid and body["metadata"].get("uid", "") != uid:
        raise errors.CliError(f"{of} was deleted, and another one of its name was made")
    return body


def failure(reader: Reader, of: target.Target, failed: outcome.Failed) -> str:
    """Why it failed, and the last lines of the pods that did."""
    parts = [f"{of} failed: {failed.reason}: {failed.message}"]
    try:
        pods = reader.pods(of)
    except errors.CliError as unreadable:
        return "\n".join([*parts, f"(its pods can't be read: {unreadable})"])
    for pod, container in outcome.failed_containers(pods):
        lines = reader.last_lines(of, pod, container, LAST_LINES).rstrip()
        parts.append(f"--- last lines of pod {pod} ---\n{lines}")
    return "\n".join(parts)
