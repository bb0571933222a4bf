"""Call other programs and turn their failures into one clear line."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fairlead_cluster import errors

KUBECTL_UNSENT: Final = ("Unable to connect to the server", "failed to download openapi")
HELM_UNSENT: Final = ("cluster unreachable",)
"""What they say where the API server has got no request of theirs: helm asks for schemas later."""
BUSY: Final = "TLS handshake timeout"
"""A server that listens and is late: both allow 10 s for a handshake, which no flag changes."""
_NUM_TRIES: Final = 6
_PAUSE_SECONDS: Final = 0.5
_LAST_LINES = 4


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    way_out: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    Args:
        command: Program and arguments.
        what: What was tried, as the user would say it: "make the network namespace".
        way_out: What the user can do when it fails.
        env: The whole environment of the program; None inherits ours.
        cwd: Folder to run in.
        stdin: Text for its standard input.

    Raises:
        CommandFailed: When it is missing or ends with an error.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env=None if env is None else dict(env),
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise errors.CommandFailed(f"can't {what}: {words[0]} is missing", way_out) from missing
    if done.returncode != 0:
        raise failure(what, done.returncode, done.stderr or done.stdout, way_out)
    return done.stdout


def ask_server(
    command: Sequence[str | Path],
    *,
    what: str,
    way_out: str,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    unsent: Sequence[str] = KUBECTL_UNSENT,
) -> str:
    """Run kubectl or helm, as ``run``; a few times where the API server is too busy to answer.

    Nothing was sent then, so that writes may be sent again. A server that refuses a connection is
    not there: that is told at once.
    """
    for _ in range(_NUM_TRIES - 1):
        try:
            return run(command, what=what, way_out=way_out, env=env, stdin=stdin)
        except errors.CommandFailed as failed:
            is_unsent = any(words in failed.problem for words in unsent)
            if not is_unsent or BUSY not in failed.problem:
                raise
        time.sleep(_PAUSE_SECONDS)
    return run(command, what=what, way_out=way_out, env=env, stdin=stdin)


def failure(what: str, status: int, output: str, way_out: str) -> errors.ClusterError:
    """Name the failure of a program from its exit status and last lines."""
    if "No space left on device" in output:
        return disk_full(what)
    said = " | ".join(line.strip() for line in output.strip().splitlines()[-_LAST_LINES:])
    return errors.CommandFailed(f"can't {what} (exit status {status}): {said}", way_out)


def disk_full(what: str) -> errors.HostUnfit:
    """Say that the disk is full."""
    return errors.HostUnfit(
        f"can't {what}: the disk is full",
        "free some space (`df -h`; built programs lie in ~/.cache/fairlead, Go's own cache is "
        "emptied by `go clean -cache`) and run the command again",
    )


def is_disk_full(error: OSError) -> bool:
    """Tell a full disk from the other errors of the system."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
