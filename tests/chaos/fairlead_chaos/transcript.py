"""A trace as lines for people: requests by number, then events. Pure."""

from collections.abc import Iterator

from fairlead_chaos.trace import Trace


def lines(trace: Trace) -> Iterator[str]:
    """One line a request and one a watch event, each with the point that a plan names."""
    for sent in trace.sent:
        write = sent.write
        effect = "" if sent.has_effect else " without effect"
        yield (
            f"{sent.number:4} {sent.seconds:7.2f}s {write.verb:8} {write.resource}/{write.name}"
            f" #{write.nth} -> {sent.code} {sent.answered}{effect} (process {sent.incarnation})"
        )
    for heard in trace.heard:
        told = heard.told
        yield (
            f"{heard.number:4} {heard.seconds:7.2f}s {told.type:8} {told.resource}/{told.name}"
            f" #{told.nth} @{heard.version} (process {heard.incarnation})"
        )
