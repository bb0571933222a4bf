"""kubectl and helm as processes; again where the API server has not got the request.

A control plane that shares a busy machine lets the seconds pass that these allow for a handshake.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fairlead_cluster import commands

PATIENCE_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.5
_NOT_REACHED: Final = (*commands.KUBECTL_UNSENT, *commands.HELM_UNSENT)
_NOT_SENT: Final = (commands.BUSY, "dial tcp")
"""With the above: no request has left, so that a write may be sent again."""


def run(
    command: Sequence[str | Path],
    stdin: str | None = None,
    seconds: float | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command until the API server has got its request; returns what then became of it.

    Args:
        command: The program and its arguments.
        stdin: What it reads.
        seconds: Longest that one try may take; else TimeoutExpired.
        env: Its whole environment; None: ours.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=env,
        )
        is_to_repeat = _is_not_sent(done) or _lacks_log(command, done)
        if not is_to_repeat or time.monotonic() > deadline:
            return done
        time.sleep(POLL_SECONDS)


def _is_not_sent(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode != 0 and all(
        any(words in done.stderr for words in either) for either in (_NOT_REACHED, _NOT_SENT)
    )


def _lacks_log(command: Sequence[str | Path], done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the API server did not reach the kubelet for a log; reading it changes nothing."""
    verb = next((word for word in map(str, command[1:]) if not word.startswith("-")), "")
    return done.returncode != 0 and verb == "logs" and commands.BUSY in done.stderr
