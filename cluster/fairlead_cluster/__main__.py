"""The command line: `fairlead-cluster VERB`; parses, calls one verb, prints failures as a line."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence

from fairlead_cluster import errors, settings, verbs

_DESCRIPTION = """\
A real Kubernetes on this machine: built from pinned sources, in a network namespace of its own
that no packet leaves. Programs are built once and kept; every verb can be run again at any time.
"""


INTERRUPTED = 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(
        prog="fairlead-cluster",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", help="name of the cluster (FAIRLEAD_CLUSTER, else 'fairlead')")
    subparsers = top.add_subparsers(required=True, metavar="VERB")
    for verb in verbs.VERBS:
        sub = subparsers.add_parser(
            verb.name, help=verb.summary, description=verb.summary, parents=[common]
        )
        verb.add_arguments(sub)
        sub.set_defaults(run=verb.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    given = parser().parse_args(arguments)
    try:
        loaded = settings.load()
        if given.name is not None:
            loaded = dataclasses.replace(loaded, name=settings.check_name(given.name))
        status: int = given.run(loaded, given)
    except errors.ClusterError as failed:
        print(f"fairlead-cluster: {failed}", file=sys.stderr)
        return INTERRUPTED if isinstance(failed, errors.Interrupted) else 1
    except KeyboardInterrupt:
        print("fairlead-cluster: interrupted; `up` takes over from here", file=sys.stderr)
        return INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
