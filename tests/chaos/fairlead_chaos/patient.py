"""kubectl and helm as processes; again where the API server has not got the request.

A control plane that shares a busy machine lets the seconds pass that these allow for a handshake.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PATIENCE_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.5
_NOT_REACHED: Final = (
    "Unable to connect to the server", "failed to download openapi", "cluster unreachable",
)  # fmt: skip
_NOT_SENT: Final = ("TLS handshake timeout", "dial tcp")
"""With the above: no request has left, so that a write may be sent again."""


def run(
    command: Sequence[str | Path], stdin: str | None = None, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command until the API server has got its request; returns what then became of it.

    Args:
        command: The program and its arguments.
        stdin: What it reads.
        seconds: Longest that one try may take; else TimeoutExpired.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, errors="replace", timeout=seconds
        )
        if not _is_not_sent(done) or time.monotonic() > deadline:
            return done
        time.sleep(POLL_SECONDS)


def _is_not_sent(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode != 0 and all(
        any(words in done.stderr for words in either) for either in (_NOT_REACHED, _NOT_SENT)
    )
