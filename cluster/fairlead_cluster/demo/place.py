"""Where the demo runs: a cluster, and the commands that a user would type there."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from fairlead_cluster import access, errors, images, progress

ROOT = images.ROOT
_LOG_SECONDS = 120
"""Then a log is followed anew: a connection that died tells nothing and doesn't end."""


@dataclass(frozen=True)
class Shown:
    """How a program that was shown ended."""

    exit_status: int
    num_lines: int
    """Lines that it printed, those left out included."""

    @property
    def is_whole(self) -> bool:
        """Whether something was shown, and to its end."""
        return self.num_lines > 0 and not self.exit_status


@dataclass(frozen=True)
class Place(access.Access):
    """A cluster, reached as a user reaches it: what the programs say is shown."""

    def follow(self, target: str, namespace: str, timeout: str) -> None:
        """Wait for a resource as a user does; its lines are shown.

        Raises:
            CommandFailed: When it failed; why was shown.
        """
        context = ["--context", self.context] if self.context else []
        words = ["wait", target, "-n", namespace, "--timeout", timeout, *context]
        progress.say(f"    $ fairlead {' '.join(words)}")
        status = self._show([sys.executable, "-m", "fairlead_cli", *words]).exit_status
        if status:
            raise errors.CommandFailed(
                f"{target} did not come to its end (exit status {status})",
                f"see above and `kubectl -n {namespace} describe {target}`",
            )

    def show_logs(self, job: str, namespace: str, num_shown: int = 0) -> Shown:
        """Show what a Job's pod prints after ``num_shown`` lines, until it ends or for two minutes.

        kubectl complains, or just ends, while the container is still being made: ask again then.
        """
        cut = f"--request-timeout={_LOG_SECONDS}s"
        words = ["logs", "--follow", cut, f"job/{job}", "-n", namespace]
        command = [str(self.kubectl), *self.flags(), *words]
        return self._show(command, errors_to=subprocess.DEVNULL, num_left_out=num_shown)

    def _show(
        self, command: list[str], errors_to: int = subprocess.STDOUT, num_left_out: int = 0
    ) -> Shown:
        """Run a program and show its lines as they come."""
        environment = dict(os.environ)
        if self.kubeconfig:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        num_lines = 0
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors_to,
            text=True,
            bufsize=1,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                num_lines += 1
                if num_lines > num_left_out:
                    progress.say(f"    {line.rstrip()}")
        return Shown(process.returncode, num_lines)


def at(reached: access.Access) -> Place:
    """The place to which a provider knows the way."""
    return Place(reached.kubectl, reached.helm, reached.kubeconfig, reached.context)
