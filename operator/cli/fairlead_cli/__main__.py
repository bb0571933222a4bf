"""The command line: reads arguments, calls one command, turns errors into a line and a status."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fairlead_api import names
from fairlead_api.base import DURATION_PATTERN, parse_duration
from fairlead_api.modelservice import ModelService
from fairlead_cli import ask, cluster, crds, errors, gateway, manifests, target, wait

_EXIT_STATUSES: Final = """
exit status: 0 done; 1 what was asked about failed; 2 wrong usage, or no cluster;
3 still going on when the time was over"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except errors.CliError as error:
        print(f"fairlead: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("fairlead: interrupted; the cluster goes on without us", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fairlead",
        description="Check, wait for and ask what Fairlead trains and serves.",
        epilog=_EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_crds(commands)
    _add_validate(commands)
    _add_wait(commands)
    _add_ask(commands)
    return parser


Commands = argparse._SubParsersAction  # argparse names no public type for it


def _add_crds(commands: "Commands[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("crds", help="print the CustomResourceDefinitions as YAML")
    parser.add_argument(
        "--directory", type=Path, help="write them as the chart's templates into this folder"
    )
    parser.set_defaults(run=_crds)


def _crds(chosen: argparse.Namespace) -> None:
    if chosen.directory is None:
        print(crds.as_yaml(), end="")
        return
    for path in crds.write_chart_files(chosen.directory):
        print(path)


def _add_validate(commands: "Commands[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "validate",
        help="check manifests without a cluster",
        description="Check fields, types, bounds and most rules of FineTuneJobs and ModelServices"
        " without a cluster. `kubectl apply --dry-run=server -f FILE` also checks changes of"
        " what may not change, and gatewayRefs against each other.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.set_defaults(run=_validate)


def _validate(chosen: argparse.Namespace) -> None:
    reports = {path: manifests.check_file(path) for path in chosen.files}
    faults = [fault for report in reports.values() for fault in report.faults]
    for path, report in reports.items():
        besides = f"; {report.passed_over} of other kinds passed over" * bool(report.passed_over)
        said = f"{', '.join(report.checked)} ok" if report.checked else "nothing of ours in it"
        if not report.faults:
            print(f"{path}: {said}{besides}")
    if faults:
        raise errors.CliError("\n".join([f"{len(faults)} fault(s)", *map(str, faults)]))
    if not any(report.checked for report in reports.values()):
        raise errors.CliError(
            f"nothing to check: no document has an apiVersion of {names.GROUP}, such as"
            f" {names.API_VERSION}"
        )
    print("the API server knows a few rules more: kubectl apply --dry-run=server -f FILE")


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="KIND/NAME", help="finetunejob/… or modelservice/…")
    parser.add_argument("-n", "--namespace", help="namespace; the context's where absent")
    parser.add_argument("--context", help="context of the kubeconfig; the current one where absent")


def _add_wait(commands: "Commands[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "wait",
        help="wait until a job is complete or a service is ready, showing progress",
        epilog=_EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_cluster_options(parser)
    parser.add_argument(
        "--timeout", type=_seconds, default=3600, help="longest wait, e.g. 30m; 1h where absent"
    )
    parser.set_defaults(run=_wait)


def _seconds(text: str) -> int:
    if not re.fullmatch(DURATION_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 30m or 1h30m")
    return parse_duration(text)


def _open(chosen: argparse.Namespace) -> tuple[cluster.Cluster, target.Target]:
    target.parse(chosen.target, "default")  # a wrong word is told before a missing cluster
    connection = cluster.Cluster.open(chosen.context)
    return connection, target.parse(chosen.target, chosen.namespace or connection.namespace)


def _wait(chosen: argparse.Namespace) -> None:
    connection, of = _open(chosen)
    wait.until_done(connection, of, chosen.timeout, lambda line: print(line, flush=True))


def _add_ask(commands: "Commands[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("ask", help="put a question to a ModelService")
    _add_cluster_options(parser)
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument(
        "--gateway",
        metavar="URL",
        help="the gateway's address; looked up where the service's host name isn't resolved",
    )
    parser.add_argument(
        "--completion",
        action="store_true",
        help="let the model go on with the text, without its chat template",
    )
    parser.add_argument("--max-tokens", type=int, default=128, help="longest answer (128)")
    parser.set_defaults(run=_ask)


def _ask(chosen: argparse.Namespace) -> None:
    connection, of = _open(chosen)
    if of.kind != ModelService.__name__:
        raise errors.WrongUsage(f"{of} can't be asked; only a modelservice answers")
    service = ModelService.read(connection.get(of))
    by = chosen.gateway
    if by is None and not ask.is_resolved(service):
        address = connection.gateway_of(of)
        by = gateway.through(address, service.status.url) if address else None
    where = ask.endpoint(service, by)
    print(ask.ask(where, chosen.prompt, chat=not chosen.completion, max_tokens=chosen.max_tokens))


if __name__ == "__main__":
    sys.exit(main())
