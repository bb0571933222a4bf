"""How a stage ends: its result in storage, then the termination message, then the exit code.

The order matters: once a result stands in storage, the same stage of any later attempt ends at
once with it, so a message that got lost costs nothing.
"""

import logging
from pathlib import Path

from pydantic import ValidationError

from fairlead_api import names
from fairlead_api.termination import EXIT_CODES, Cause, Termination
from fairlead_trainer import storage
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.settings import Settings

log = logging.getLogger(__name__)


def standing_result(settings: Settings) -> Termination | None:
    """The stage's result from an earlier attempt; None where it has none."""
    try:
        result = Termination.model_validate_json(settings.result_file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StageFailure(
            Cause.USER_ERROR,
            f"{settings.result_file} is no result of ours; remove it to run the stage again:"
            f" {error}",
        ) from error
    return result if result.cause is Cause.SUCCEEDED else None


def publish(settings: Settings, result: Termination) -> None:
    """Put a success into storage."""
    content = result.model_dump_json(by_alias=True, exclude_none=True, indent=2)
    storage.write_file(settings.result_file, content.encode())
    log.info("result is in %s", settings.result_file)


def say(end: Termination, message_file: Path) -> int:
    """Write the termination message; returns the exit code."""
    log.log(
        logging.INFO if end.cause is Cause.SUCCEEDED else logging.ERROR,
        "%s: %s",
        end.cause,
        end.message or "done",
    )
    try:
        message_file.parent.mkdir(parents=True, exist_ok=True)
        message_file.write_text(end.to_message())
    except OSError:
        log.exception("cannot write %s; the exit code still tells the cause", message_file)
    return EXIT_CODES[end.cause]


def message_path(root: Path) -> Path:
    """Where the kubelet reads the termination message."""
    return root / names.TERMINATION_LOG.lstrip("/")
