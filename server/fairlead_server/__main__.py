"""Start of a serving pod: read the serve file, check the model, become vLLM.

``python -m fairlead_server`` ends as vLLM's API server under the same process id, so signals and
logs are vLLM's own; ``python -m fairlead_server drain`` is the pod's preStop hook.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from fairlead_api import names, uris
from fairlead_api.termination import Cause
from fairlead_server import arguments, artifact, drain, refusal, settings
from fairlead_server.refusal import StartRefused

TERMINATED: Final = 128 + signal.SIGTERM  # as the shell has it, and the kubelet

logger = logging.getLogger(__name__)


def main(
    argv: list[str],
    claims: Path = Path(names.CLAIMS_DIR),
    termination_log: Path = Path(names.TERMINATION_LOG),
) -> int:
    """Run the verb; returns an exit code where this process doesn't become vLLM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if argv == ["drain"]:
        return drain.run(settings.read())
    try:
        if argv:
            raise StartRefused(Cause.USER_ERROR, f"unknown arguments {argv}: only `drain` is known")
        start(claims)
    except StartRefused as refused:
        return refusal.report(refused, termination_log)


def start(claims: Path) -> NoReturn:
    """Check the model and become vLLM; raises StartRefused."""
    signal.signal(signal.SIGTERM, _end)
    serve = settings.read()
    try:
        uri = uris.parse(serve.model_uri)
    except uris.UriError as error:
        raise StartRefused(Cause.USER_ERROR, f"spec.model.uri: {error}") from error
    mount = claims / uri.claim
    folder = mount / uri.path
    begun = time.monotonic()
    checked = artifact.check(folder, mount, serve.artifact_digest)
    command = arguments.command(serve, folder)
    logger.info(
        "%s is in order: %d files, %d bytes, digest %s, checked in %.1f s",
        uri,
        checked.num_files,
        checked.size_bytes,
        checked.digest or "not recorded",
        time.monotonic() - begun,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, arguments.environment(os.environ))


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """End at once: PID 1 would ignore SIGTERM, and check digests until it is killed."""
    os.write(sys.stderr.fileno(), b"told to end before vLLM has started\n")
    os._exit(TERMINATED)  # an exception would wait for the threads that read


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
