"""Run one stage of a FineTuneJob.

Read the settings, end at once where the result stands already, run the stage, publish its
result, say how it ended.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import Cause, Termination
from fairlead_trainer import ending, failures, settings, sigterm
from fairlead_trainer.export import stage as export
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.prepare import stage as prepare
from fairlead_trainer.train import stage as train

RUNNERS: Final[dict[Stage, Callable[[settings.Settings], Termination]]] = {
    Stage.PREPARE: prepare.run,
    Stage.TRAIN: train.run,
    Stage.EXPORT: export.run,
}


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """End what runs inside by SIGTERM, which the kernel keeps from a PID 1 without a handler.

    Train's launcher has one of its own while torchrun runs.
    """

    def end(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left to do is clearing up
        raise StageFailure(Cause.DISRUPTED, "ended by SIGTERM")

    before = signal.signal(signal.SIGTERM, end)
    try:
        if sigterm.came():
            end(signal.SIGTERM, None)
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(loaded: settings.Settings) -> Termination:
    """Run the stage, or find that an earlier attempt has."""
    standing = ending.standing_result(loaded)
    if standing is not None:
        logging.info("%s has ended well in attempt %d", loaded.stage, standing.attempt)
        return standing
    result = RUNNERS[loaded.stage](loaded)
    if loaded.publishes:
        ending.publish(loaded, result)
    return result


def main(arguments: list[str]) -> int:
    """Run the stage that the first argument names; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stage_name = arguments[0] if arguments else ""
    root = Path(os.environ.get(names.ENV_ROOT, "/"))
    attempt = 0
    try:
        loaded = settings.load(stage_name, os.environ)
        attempt = loaded.attempt
        with ended_by_sigterm():
            end = run(loaded)
    except Exception as error:  # every end has a name
        failure = failures.of_exception(error)
        if failure is not error:
            logging.exception("the stage ended by an exception")
        end = Termination(
            cause=failure.cause,
            message=failure.message[:1500],
            stage=stage_name,
            attempt=attempt,
            training=failure.training,
        )
    return ending.say(end, ending.message_path(root))
