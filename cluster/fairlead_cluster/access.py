"""How a cluster that is up is reached: the programs, the kubeconfig and the context for them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead_cluster import commands, errors, release

AGAIN = "see what it says, then run the same command again: it goes on from here"


@dataclass(frozen=True)
class Access:
    """The way to one cluster."""

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

    def exports(self) -> list[str]:
        """What to type in a shell so that kubectl is found and reaches the cluster."""
        lines = [f"export KUBECONFIG={self.kubeconfig}"] if self.kubeconfig else []
        if shutil.which(self.kubectl.name) is None:
            lines.append(f'export PATH="$PATH:{self.kubectl.parent}"')
        return lines

    def run(
        self, *arguments: str, what: str, way_out: str = AGAIN, stdin: str | None = None
    ) -> str:
        """Run kubectl and return what it prints.

        Raises:
            CommandFailed: With kubectl's last lines.
        """
        words: list[str | Path] = [self.kubectl, *self.flags(), *arguments]
        return commands.ask_server(words, what=what, way_out=way_out, stdin=stdin)

    def read(self, path: str, what: str) -> dict[str, Any] | None:
        """Return what the API server has at a path, None when it has nothing there.

        Raises:
            CommandFailed: When the API server doesn't answer, or refuses.
        """
        try:
            text = self.run("get", "--request-timeout=20s", f"--raw={path}", what=what)
        except errors.CommandFailed as refused:
            if "NotFound" in refused.problem or "not find" in refused.problem:
                return None
            raise
        found: dict[str, Any] = json.loads(text)
        return found

    def flags(self) -> list[str]:
        """What every call of kubectl begins with."""
        flags = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return flags + ([f"--context={self.context}"] if self.context else [])
