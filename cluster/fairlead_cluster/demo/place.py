"""Where the demo runs: a cluster with this tree's images, and the tools that reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import commands, errors, images, programs, progress, registry, release, up
from fairlead_cluster.settings import Settings

ROOT = images.ROOT


@dataclass(frozen=True)
class _Shown:
    """How a program that was shown ended."""

    exit_status: int
    num_lines: int


@dataclass(frozen=True)
class Place:
    """One cluster; made by `embedded` or `foreign`."""

    kubectl: Path
    helm: Path
    kubeconfig: Path | None
    """None: what KUBECONFIG or ~/.kube/config says."""
    context: str | None
    """None: the kubeconfig's current one."""

    @property
    def release(self) -> release.Release:
        """The chart in this cluster."""
        return release.Release(self.helm, self.kubeconfig, self.context)

    def run(self, *arguments: str, what: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints.

        Raises:
            CommandFailed: With kubectl's last lines.
        """
        way_out = "see what it says, then run `make demo` again: it goes on from here"
        words: list[str | Path] = [self.kubectl, *self._flags(), *arguments]
        return commands.run(words, what=what, way_out=way_out, stdin=stdin)

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
        command = [str(self.kubectl), *self._flags(), *words]
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

    def _flags(self) -> list[str]:
        flags = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return flags + ([f"--context={self.context}"] if self.context else [])


def open_place(settings: Settings) -> Place:
    """Bring up the embedded cluster, or take FAIRLEAD_CONTEXT.

    Raises:
        ClusterError: When there is no cluster to work in.
    """
    if settings.context is None:
        opened = up.up(settings, up.Wanted())
        return Place(
            opened.cache.path("kubectl"), opened.cache.path("helm"), opened.where.kubeconfig, None
        )
    if settings.registry is None:
        raise errors.ClusterError(
            f"FAIRLEAD_CONTEXT is {settings.context!r}, but FAIRLEAD_REGISTRY is not set",
            "set it to a registry that you may push to and that the cluster pulls from",
        )
    built = programs.open_cache(settings.cache_dir).build(["kubectl", "helm"])
    return Place(built["kubectl"], built["helm"], None, settings.context)


def push_images(settings: Settings) -> dict[str, str]:
    """Build and push what is missing; image name to the reference that nodes pull.

    Raises:
        ClusterError: When a build or a push fails.
    """
    workshop = images.open_workshop(settings.cache_dir, images.Options())
    if settings.context is not None and settings.registry is not None:
        return workshop.push(release.RELEASED, settings.registry)
    own = registry.ensure(settings.state_dir, workshop.cache)
    pushed = workshop.push(release.RELEASED, own)
    own.keep()
    return pushed
