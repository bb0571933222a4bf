"""The rights that a lab's operators were granted against those that the audit log shows in use.

Reads the API server's audit log; decides nothing: ``rights`` compares.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from fairlead_chaos import rights, tenant
from fairlead_chaos.audit import AuditLog, LostError
from fairlead_chaos.lab import Lab
from fairlead_chaos.rights import Comparison, Event, Ledger

FOLLOW_SECONDS: Final = 5.0
"""Between two looks at the log; what is kept of it lasts for many minutes."""
RARE: Final[dict[tuple[str, str, str], str]] = {
    ("authentication.k8s.io", "tokenreviews", "create"): "simulated pods report no progress",
    ("", "secrets", "update"): "when the certificate has to be renewed, after months",
}
"""Granted rights that no scenario uses, and why; the end-to-end tests use all but the last."""


@dataclass(frozen=True)
class Taken:
    """What came out of some runs."""

    num_runs: int
    comparison: Comparison
    unread: tuple[str, ...]
    """Why some calls are not among what was compared."""


class Usage:
    """What the operators of a lab do from now on; ``close`` it.

    Each has the chart's rights in a namespace of its own, so that the calls of all are held
    against one rendering, for the placeholder's namespace.
    """

    def __init__(self, lab: Lab) -> None:
        (account,) = rights.granted(lab.rbac)
        spelled = re.escape(account).replace(re.escape(tenant.PLACEHOLDER), "([^:]+)")
        self._account, self._accounts = account, re.compile(f'"username":"{spelled}"'.encode())
        self._lab, self._log = lab, AuditLog(lab.audit_log)
        self._homes: set[str] = set()
        self._first = len(lab.namespaces)
        self._unread: list[str] = []
        self._ledger = Ledger(lab.rbac)

    def close(self) -> None:
        """Give the log back."""
        self._log.close()

    def read_on(self) -> None:
        """Count what was called since the last time."""
        try:
            for line in self._log.lines():
                if found := self._accounts.search(line):
                    self._count(found[1].decode(), json.loads(line))
        except LostError as error:
            self._unread.append(str(error))

    def taken(self) -> Taken:
        """What came out since the last time; begins anew."""
        self.read_on()
        num_runs = len(self._lab.namespaces) - self._first
        taken = Taken(num_runs, self._ledger.comparison(RARE), tuple(self._unread))
        self._first += num_runs
        self._unread, self._ledger = [], Ledger(self._lab.rbac)
        return taken

    def _count(self, home: str, event: Event) -> None:
        """Take a call as if its operator's namespace were the placeholder's."""
        if home not in self._homes:
            self._homes.update(self._lab.namespaces)
        if home not in self._homes or not rights.is_finished(event):
            return
        what = event.get("objectRef") or {}
        for key in ("namespace", "name"):
            if what.get(key) == home:
                what[key] = tenant.PLACEHOLDER
        self._ledger.add(event | {"user": {"username": self._account}})


@contextlib.asynccontextmanager
async def following(lab: Lab) -> AsyncIterator[Usage]:
    """Read on all the time, so that nothing of the log is removed before it was read."""
    with contextlib.closing(Usage(lab)) as used:
        reading = asyncio.create_task(_follow(used))
        try:
            yield used
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.result()  # raises what broke it


async def _follow(used: Usage) -> None:
    while True:
        used.read_on()
        await asyncio.sleep(FOLLOW_SECONDS)
