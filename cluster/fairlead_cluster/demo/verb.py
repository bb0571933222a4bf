"""The verb `demo` of the command line: its arguments and the call it makes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager

from fairlead_cluster import errors, state
from fairlead_cluster.demo import example, story
from fairlead_cluster.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fairlead-cluster demo`."""
    parser.add_argument(
        "--seed", type=int, help="draw the held-out questions from it; the clock where absent"
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=story.Chosen.num_questions,
        choices=range(1, 1001),
        metavar="1..1000",
        help=f"how many ({story.Chosen.num_questions})",
    )


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Wait for the end of another demo on the same cluster."""
    where = slug(settings)
    busy = f"another demo runs on {where}; waiting for its end (Ctrl-C here waits no more)"
    # Beside the cache: a context of the user's own may be used without being root.
    with state.lock(settings.cache_dir, f"demo-{where}", busy):
        yield


def slug(settings: Settings) -> str:
    """Name of the cluster as files may carry it."""
    return re.sub(r"[^\w.-]", "-", settings.context or settings.name)


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Run the demo; a second one on the same cluster waits for the first."""
    seed = story.fresh_seed() if given.seed is None else given.seed
    try:
        with alone(settings):
            story.tell(settings, story.Chosen(seed=seed, num_questions=given.questions))
    except KeyboardInterrupt as interrupted:
        raise errors.Interrupted(
            "interrupted; what was applied goes on in the cluster",
            f"`.venv/bin/fairlead wait finetunejob/{example.FINE_TUNE_JOB}"
            f" -n {example.NAMESPACE}` follows a training, and the next demo goes on from here"
            " but trains anew",
        ) from interrupted
    return 0
