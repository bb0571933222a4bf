"""The verbs of the command line: arguments of each and the call it makes, nothing more."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from fairlead_cluster import (
    errors,
    imageverbs,
    pins,
    programs,
    providers,
    status,
    up,
)
from fairlead_cluster.demo import pipelines
from fairlead_cluster.demo import verb as demo
from fairlead_cluster.settings import Settings

Arguments = argparse.Namespace


@dataclass(frozen=True)
class Verb:
    """One verb."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Settings, Arguments], int]


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _up_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--control-plane-only",
        action="store_true",
        help="API server, controllers and simulated nodes only, no real node (up in seconds)",
    )
    parser.add_argument(
        "--simulated-gpu-nodes",
        type=_count,
        metavar="N",
        help="have exactly N simulated nodes of 8 GPUs, for scheduling and scale only",
    )
    parser.add_argument(
        "--slot",
        type=_count,
        help="address ranges to use, 0 to 15 (FAIRLEAD_SLOT, else the first that is free)",
    )
    parser.add_argument(
        "--without-addons",
        action="store_true",
        help="a node, but no cluster DNS, volumes or gateway",
    )


def _up(settings: Settings, given: Arguments) -> int:
    if given.slot is not None:
        settings = dataclasses.replace(settings, slot=given.slot)
    wanted = up.Wanted(
        control_plane_only=given.control_plane_only,
        num_simulated_gpu_nodes=given.simulated_gpu_nodes,
        with_addons=not given.without_addons,
    )
    access = providers.choose(settings).up(wanted)
    for line in access.exports():
        print(line)
    return 0


def _down_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all",
        action="store_true",
        help="every embedded cluster of this machine, not only one (nothing to FAIRLEAD_CONTEXT)",
    )
    parser.add_argument(
        "--volumes",
        action="store_true",
        help="with FAIRLEAD_CONTEXT also the demo's volumes, which are kept otherwise",
    )


def _down(settings: Settings, given: Arguments) -> int:
    providers.choose(settings).down(everything=given.all, volumes=given.volumes)
    return 0


def _status(settings: Settings, _: Arguments) -> int:
    lines, is_whole = providers.choose(settings).report()
    print("\n".join(lines))
    return 0 if is_whole else 1


def _kubeconfig(settings: Settings, _: Arguments) -> int:
    print(providers.choose(settings).kubeconfig())
    return 0


def _logs_arguments(parser: argparse.ArgumentParser) -> None:
    choices = (*status.CONTROL_PLANE, *status.NODE)
    parser.add_argument("component", choices=choices, help="whose log to print")


def _logs(settings: Settings, given: Arguments) -> int:
    opened, _record = status.require(settings)
    log = opened.supervisor.log(given.component)
    if not log.exists():
        raise errors.NoCluster(f"{given.component} never started", "see `fairlead-cluster status`")
    with log.open(errors="replace") as lines:
        for line in lines:
            print(line, end="")
    return 0


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="default: all but --with")
    parser.add_argument(
        "--with",
        dest="extra",
        action="append",
        default=[],
        choices=sorted(pins.ON_DEMAND),
        help="also build what is built on demand only",
    )
    parser.add_argument("--list", action="store_true", help="print what is built and where")


def _build(settings: Settings, given: Arguments) -> int:
    cache = programs.open_cache(settings.cache_dir)
    if given.list:
        print(programs.describe(cache))
        return 0
    unknown = sorted(set(given.programs).difference(pins.PROGRAMS))
    if unknown:
        raise errors.BuildFailed(
            f"no such program: {', '.join(unknown)}", "see `fairlead-cluster build --list`"
        )
    names = given.programs or list(pins.WHOLE_CLUSTER)
    for extra in given.extra:
        names = [*names, *pins.ON_DEMAND[extra]]
    cache.build(names)
    return 0


def _load_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "image", metavar="IMAGE", help="of docker, podman or buildah, or the path of an archive"
    )
    parser.add_argument("--as", dest="as_name", metavar="NAME:TAG", help="what to call it")


def _load(settings: Settings, given: Arguments) -> int:
    print(providers.choose(settings).load(given.image, given.as_name))
    return 0


def _no_arguments(_: argparse.ArgumentParser) -> None:
    return


VERBS = (
    Verb("up", "bring the cluster up, or finish what was interrupted", _up_arguments, _up),
    Verb("down", "remove the cluster and every trace of it", _down_arguments, _down),
    Verb("status", "say what runs; exit status 1 unless all of it does", _no_arguments, _status),
    Verb("kubeconfig", "print the path of the kubeconfig file", _no_arguments, _kubeconfig),
    Verb("logs", "print the log of one component", _logs_arguments, _logs),
    Verb("load", "give a local image to the cluster; prints its name", _load_arguments, _load),
    Verb("build", "build the pinned programs into the cache", _build_arguments, _build),
    Verb("images", "build, push, list or prune images", imageverbs.add_arguments, imageverbs.run),
    Verb("demo", "train a model, serve it and ask it questions", demo.add_arguments, demo.run),
    Verb("airflow", "run Airflow with our DAGs", pipelines.add_arguments, pipelines.run),
)
