"""Install Fairlead's chart with the images of this tree; the demo and the tests share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fairlead_cluster import commands, images

CHART = images.ROOT / "charts" / "fairlead"
RELEASED = ("operator", "trainer", "server")
"""Images that the chart names."""


@dataclass(frozen=True)
class Release:
    """A Helm release of the chart in the cluster of a kubeconfig."""

    helm: Path
    kubeconfig: Path | None
    """None: what KUBECONFIG or ~/.kube/config says."""
    context: str | None = None
    name: str = "fairlead"
    namespace: str = "fairlead-system"

    def install(
        self,
        references: Mapping[str, str],
        values: Sequence[str] = (),
        *,
        labels: str = "",
        wait: bool = True,
    ) -> None:
        """Install or upgrade.

        Args:
            references: Image name (of RELEASED) to `registry/repository:tag`.
            values: Further `key=value` for `helm --set`.
            labels: `key=value` that the release is found by.
            wait: Also wait until the operator is ready.

        Raises:
            CommandFailed: With helm's last lines.
        """
        self._run(
            ["upgrade", "--install", self.name, str(CHART), "--create-namespace"]
            + ["--wait"] * wait
            + [f"--labels={labels}"] * bool(labels)
            # CRDs outlive a release: they may have come by another one, or by kubectl.
            + ["--take-ownership", "--force-conflicts"]
            # As strings: a tag that happens to be all digits is still a tag.
            + ["--timeout=5m", *_sets("--set-string", image_values(references))]
            + _sets("--set", values),
            what="install the chart",
        )

    def is_there(self, labels: str = "") -> bool:
        """Tell whether the release is installed, wholly or in part, and has these labels."""
        selector = [f"--selector={labels}"] if labels else []
        words = ["list", "--short", f"--filter=^{self.name}$", *selector]
        return self.name in self._run(words, what="look for the release").split()

    def uninstall(self) -> None:
        """Remove the release; CRDs and what users made of them stay."""
        self._run(
            ["uninstall", self.name, "--ignore-not-found", "--wait"], what="uninstall the chart"
        )

    def test(self) -> None:
        """Run the chart's own tests."""
        self._run(["test", self.name, "--logs"], what="run the chart's tests")

    def _run(self, arguments: Sequence[str], *, what: str) -> str:
        context = [f"--kube-context={self.context}"] if self.context else []
        config = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        target = [*config, f"--namespace={self.namespace}", *context]
        return commands.ask_server(
            [self.helm, *target, *arguments],
            what=what,
            way_out=f"see `kubectl -n {self.namespace} get pods,events`",
            unsent=commands.HELM_UNSENT,
        )


def version() -> str:
    """The tag that the chart asks for where no other is named."""
    found: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    return found


def image_values(references: Mapping[str, str]) -> list[str]:
    """The chart's values that name the images.

    Raises:
        ValueError: When the images lie in more than one registry.
    """
    parted = {name: _parts(references[name]) for name in RELEASED}
    registries = {registry for registry, _, _ in parted.values()}
    if len(registries) != 1:
        raise ValueError(f"images of one release lie in one registry, not in {registries}")
    values = [f"image.registry={registries.pop()}"]
    for name, (_, repository, tag) in parted.items():
        values += [f"images.{name}.repository={repository}", f"images.{name}.tag={tag}"]
    return values


def _parts(reference: str) -> tuple[str, str, str]:
    """Split `registry/repository:tag`; a registry may have a port and a path."""
    path, _, tag = reference.rpartition(":")
    registry, _, repository = path.rpartition("/")
    return registry, repository, tag


def _sets(flag: str, values: Sequence[str]) -> list[str]:
    return [f"{flag}={value}" for value in values]
