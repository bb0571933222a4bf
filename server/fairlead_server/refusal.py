"""The one way in which a start is refused: a named cause, a sentence, an exit code.

Holds the exception and how it is told to the operator; the checks themselves raise it.
"""

import logging
from pathlib import Path
from typing import Final

from fairlead_api.termination import EXIT_CODES, Cause, Termination

STAGE: Final = "Serve"

logger = logging.getLogger(__name__)


class StartRefused(Exception):
    """The pod must not serve; the message says what, where and the way out."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message


def report(refused: StartRefused, termination_log: Path) -> int:
    """Tell the operator by termination message, the reader by log; return the exit code."""
    logger.error("%s: %s", refused.cause, refused.message)
    text = refused.message if len(refused.message) <= 1500 else refused.message[:1499] + "…"
    ending = Termination(cause=refused.cause, message=text, stage=STAGE)
    # The kubelet makes the file before the container starts; outside a pod there is none.
    if termination_log.exists():
        termination_log.write_text(ending.to_message(), encoding="utf-8")
    return EXIT_CODES[refused.cause]
