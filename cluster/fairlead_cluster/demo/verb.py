"""The verb `demo` of the command line: its arguments and the call it makes."""

from __future__ import annotations

import argparse

from fairlead_cluster.demo import story
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


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Run the demo."""
    seed = story.fresh_seed() if given.seed is None else given.seed
    story.tell(settings, story.Chosen(seed=seed, num_questions=given.questions))
    return 0
