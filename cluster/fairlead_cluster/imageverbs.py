"""The verb `images` of the command line: build, push, list and prune; parses and calls."""

from __future__ import annotations

import argparse

from fairlead_cluster import (
    errors,
    imageengine,
    images,
    imagetable,
    progress,
    registry,
    release,
)
from fairlead_cluster.settings import Settings

ACTIONS = ("build", "push", "list", "prune")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fairlead-cluster images`."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help=f"of {', '.join(imagetable.PUBLISHED)}; default: all of these",
    )
    parser.add_argument(
        "--registry",
        metavar="HOST[:PORT]",
        help="where to push; default: FAIRLEAD_REGISTRY, else the registry of the machine's own",
    )
    parser.add_argument("--engine", choices=imageengine.ENGINES, help="default: what answers first")
    parser.add_argument(
        "--base-image",
        help="an image with Python 3.11 on Debian, or `debootstrap` to make one without a registry",
    )
    parser.add_argument(
        "--accelerator",
        choices=imagetable.ACCELERATORS,
        default="cpu",
        help="what torch and vLLM run on; cuda is untested here",
    )


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Do one action."""
    names = given.images or list(imagetable.PUBLISHED)
    unknown = sorted(set(names).difference(imagetable.IMAGES))
    if unknown:
        raise errors.ImageMissing(
            f"no such image: {', '.join(unknown)}", f"there are {', '.join(imagetable.IMAGES)}"
        )
    workshop = images.open_workshop(
        settings.cache_dir,
        images.Options(given.engine, given.base_image, given.accelerator),
    )
    if given.action == "build":
        workshop.build(names)
        _say({name: workshop.reference(name) for name in names})
    elif given.action == "push":
        _push(workshop, settings, names, given.registry or settings.registry)
    elif given.action == "list":
        _list(workshop)
    else:
        removed = workshop.prune()
        progress.say(f"removed {len(removed)} old images")
    return 0


def _push(
    workshop: images.Workshop, settings: Settings, names: list[str], address: str | None
) -> None:
    target = address or registry.ensure(settings.state_dir, workshop.cache)
    references = workshop.push(names, target)
    workshop.tag(names, target, release.version())
    _say(references)


def _list(workshop: images.Workshop) -> None:
    for name, image in imagetable.IMAGES.items():
        reference = workshop.reference(name)
        state = "built" if workshop.engine.has(reference) else "missing"
        kind = "" if image.is_published else "  (a layer or a tool, never pulled)"
        progress.say(f"{state:8} {reference}{kind}")


def _say(references: dict[str, str]) -> None:
    for name, reference in references.items():
        progress.say(f"{name}: {reference}")
