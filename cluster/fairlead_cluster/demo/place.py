"""Where the demo runs: a cluster, and the commands that a user would type there."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from fairlead_cluster import access, errors, images, progress

ROOT = images.ROOT


@dataclass(frozen=True)
class _Shown:
    """How a program that was shown ended."""

    exit_status: int
    num_lines: int


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

    def show_logs(self, job: str, namespace: str) -> bool:
        """Show what a Job's pod prints until it ends; False when it has not printed anything.

        kubectl complains, or just ends, while the container is still being made: ask again then.
        """
        words = ["logs", "--follow", f"job/{job}", "-n", namespace]
        command = [str(self.kubectl), *self.flags(), *words]
        return self._show(command, errors_to=subprocess.DEVNULL).num_lines > 0

    def _show(self, command: list[str], errors_to: int = subprocess.STDOUT) -> _Shown:
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
                progress.say(f"    {line.rstrip()}")
        return _Shown(process.returncode, num_lines)


def at(reached: access.Access) -> Place:
    """The place to which a provider knows the way."""
    return Place(reached.kubectl, reached.helm, reached.kubeconfig, reached.context)
