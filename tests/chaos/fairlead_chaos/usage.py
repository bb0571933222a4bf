"""The rights that a lab's operators were granted against those that the audit log shows in use.

Reads the API server's audit log; decides nothing: ``rights`` compares.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from fairlead_chaos import rights, tenant
from fairlead_chaos.lab import Lab
from fairlead_chaos.rights import Comparison, Event
from fairlead_chaos.scenario import Manifest

_ANY_ACCOUNT: Final = ":fairlead-operator"
UNSERVED: Final = "the lab serves no Gateway API"
RARE: Final[dict[tuple[str, str, str], str]] = {
    ("gateway.networking.k8s.io", "gateways", "get"): UNSERVED,
    ("gateway.networking.k8s.io", "httproutes", "get"): UNSERVED,
    ("gateway.networking.k8s.io", "httproutes", "list"): UNSERVED,
    ("gateway.networking.k8s.io", "httproutes", "watch"): UNSERVED,
    ("gateway.networking.k8s.io", "httproutes", "create"): UNSERVED,
    ("gateway.networking.k8s.io", "httproutes", "patch"): UNSERVED,
    ("gateway.networking.k8s.io", "httproutes", "delete"): UNSERVED,
    ("authentication.k8s.io", "tokenreviews", "create"): "simulated pods report no progress",
    ("", "secrets", "update"): "when the certificate has to be renewed, after months",
}
"""Granted rights that no scenario uses, and why; the end-to-end tests use all but the last."""


def compared(lab: Lab) -> Comparison:
    """Hold the calls of all operators of a lab against the chart's rules."""
    granted = list(tenant.roles(lab.rbac, lab.name))
    for namespace in lab.namespaces:
        owner: Manifest = {"metadata": {"name": namespace, "uid": ""}}
        granted += tenant.rights(lab.rbac, lab.name, owner)
    accounts = frozenset(rights.granted(granted))
    return rights.compare(_events(lab.audit_log, accounts), granted, RARE)


def _events(log: Path, accounts: frozenset[str]) -> Iterator[Event]:
    """Finished calls in the log and in the files that it was put aside to."""
    with contextlib.ExitStack() as stack:
        for lines in _opened(log.parent, stack):
            # The last line may still be written.
            theirs = (line for line in lines if _ANY_ACCOUNT in line and line.endswith("\n"))
            yield from rights.events_of(theirs, accounts)


def _opened(folder: Path, stack: contextlib.ExitStack) -> list[TextIO]:
    """All files of a folder, opened at once: one put aside meanwhile is still the same file."""
    while True:
        names = sorted(folder.iterdir())
        with contextlib.ExitStack() as tried, contextlib.suppress(FileNotFoundError):
            files: list[TextIO] = [tried.enter_context(name.open()) for name in names]
            if sorted(folder.iterdir()) == names:
                stack.push(tried.pop_all())
                return files
