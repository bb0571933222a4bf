"""What an operator asked of the API server, by the API server's own audit log."""

import contextlib
import json
from collections import Counter

import manifests
from plane import SYSTEM

from fairlead_api import names

APART = {"leases", "tokenreviews"}
"""Counted apart: they are nobody's resource."""
READS = {"get", "list", "watch"}
PARENTS = {names.FINETUNEJOB_PLURAL, manifests.NAIVE_PLURAL}


def mark(folder):
    """How far the log has come: its newest file, whatever that is renamed to, and its size."""
    _, newest = _files(folder)[-1]
    return newest.st_ino, newest.st_size


def _files(folder):
    """Files of the log with what the system tells of them, oldest first."""
    found = []
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the API server drops the oldest
            found.append((file, file.stat()))
    # By name: "audit-TIME.log" was renamed, "audit.log" is written to. Times of files may be equal.
    return sorted(found, key=lambda each: each[0].name)


def events(folder, account, since):
    """The requests of an account that were logged after a mark, oldest file first.

    Raises LookupError where the log no longer goes back to the mark.
    """
    ours = f'"username":"system:serviceaccount:{SYSTEM}:{account}"'.encode()
    number, size = since
    files = _files(folder)
    while files and files[0][1].st_ino != number:
        files.pop(0)
    if not files or files[0][1].st_size < size:
        raise LookupError("the audit log has dropped what followed the mark")
    for file, found in files:
        with file.open("rb") as lines:
            lines.seek(size if found.st_ino == number else 0)
            for line in lines:
                if ours in line and line.endswith(b"\n"):
                    yield json.loads(line)


def is_write(event):
    """Whether it changed something of somebody's, or would have."""
    what = event.get("objectRef") or {}
    return event["verb"] not in READS and what.get("resource") not in APART


def is_done(event):
    return event["stage"] == "ResponseComplete" and event["responseStatus"]["code"] < 300


def is_failed(event):
    """Whether the API server was unable to do what it was asked, for somebody's resource."""
    is_apart = (event.get("objectRef") or {}).get("resource") in APART
    return not is_apart and event.get("responseStatus", {}).get("code", 0) >= 500


def num_lists(found):
    """How often objects of a kind were listed; for the kinds that count apart, not."""
    return sum(
        event["verb"] == "list" and event["objectRef"]["resource"] not in APART
        for event in found
        if event["stage"] == "ResponseComplete"
    )


def of_objects(found, prefix, namespace):
    """Requests for the objects whose names begin so, by what they are.

    Returns counts of `writes` by resource, `reads`, `refused`, `failed` for which the API server
    is to blame, and `patches` of parents: those that may have changed nothing.
    """
    counts = {part: Counter() for part in ("writes", "reads", "refused", "failed")}
    patches = 0
    for event in found:
        what = event.get("objectRef") or {}
        if what.get("namespace") != namespace or event["stage"] != "ResponseComplete":
            continue
        resource, name = what.get("resource", ""), what.get("name", "")
        if not name.startswith(prefix):
            continue
        part = "reads" if event["verb"] in READS else "writes"
        if event["responseStatus"]["code"] >= 300:
            part = "failed" if is_failed(event) else "refused"
        counts[part][resource] += 1
        patches += part == "writes" and resource in PARENTS
    return {**{part: dict(count) for part, count in counts.items()}, "patches": patches}
