"""What the operator's log complains of, beyond what undisturbed runs say and the plan explains.

Pure. An ERROR, a critical end, a traceback or a line that is no JSON is always a complaint; a
warning is one unless an undisturbed run gives it too or the plan refused the very request that
it speaks of. Heartbeats are left out: a busy machine may answer one late, and what comes of it,
the loss of the lease, is an ERROR.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fairlead_chaos import compare
from fairlead_chaos.faults import LoseReply, Plan, Refuse, Write
from fairlead_chaos.findings import Finding, Wrong
from fairlead_chaos.snapshot import NAMESPACE

WARNING: Final = "warn"
_QUIET: Final = frozenset({"debug", "info"})
_NO_JSON: Final = "no JSON"
_HEARTBEAT: Final = re.compile(r"lease \S+/\S+: no answer within")


@dataclass(frozen=True)
class Line:
    """One thing that was said louder than INFO."""

    severity: str
    """warn, error or fatal; of a line that is no JSON, that."""
    message: str
    """With the last line of a traceback, where one came along."""

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}"

    @property
    def shape(self) -> str:
        """Alike in all runs that say the same."""
        return compare.shape(str(self))


def loud(log: str, namespace: str = "") -> Iterator[Line]:
    """Every line of a log that is louder than INFO, in the words that all runs share."""
    if namespace:
        log = log.replace(namespace, NAMESPACE)
    for text in filter(str.strip, log.splitlines()):
        try:
            record = json.loads(text)
            severity, message = record["severity"], str(record["message"])
        except (ValueError, KeyError, TypeError):
            yield Line(_NO_JSON, text)
            continue
        if trace := str(record.get("exc_info") or "").strip():
            message = f"{message}: {trace.splitlines()[-1]}"
        if trace or severity not in _QUIET:
            yield Line(severity, message)


def shapes(lines: Iterable[Line]) -> frozenset[str]:
    """What some lines say, without what differs from run to run."""
    return frozenset(line.shape for line in lines)


def errors(lines: Iterable[Line]) -> list[Finding]:
    """What no run may say."""
    return [_finding(line) for line in lines if line.severity != WARNING]


def complaints(lines: Iterable[Line], plan: Plan, usual: frozenset[str]) -> list[Finding]:
    """What a run says that neither undisturbed runs nor its plan account for; each once."""
    found = {
        line.shape: _finding(line)
        for line in lines
        if line.shape not in usual and not (line.severity == WARNING and _explains(plan, line))
    }
    return list(found.values())


def _explains(plan: Plan, line: Line) -> bool:
    """Whether a warning speaks of a request that the plan kept from its answer, or heartbeat."""
    refused = (fault.at for fault in plan.faults if isinstance(fault, Refuse | LoseReply))
    is_refused = any(_request(write) in line.message for write in refused)
    return is_refused or _HEARTBEAT.match(line.message) is not None


def _request(write: Write) -> str:
    """How the operator's messages end the path of a request; a create has no name there."""
    plural, _, subresource = write.resource.partition("/")
    parts = (plural,) if write.verb == "create" else (plural, write.name, subresource)
    return "/" + "/".join(filter(None, parts)) + ":"


def _finding(line: Line) -> Finding:
    return Finding(Wrong.LOG, str(line)[: compare.MOST_SAID * 2])
