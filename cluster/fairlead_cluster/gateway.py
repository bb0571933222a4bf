"""Install Envoy Gateway by its own chart, out of the pinned Go module."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from fairlead_cluster import commands, control_plane, programs

MODULE = "github.com/envoyproxy/gateway"
API_MODULE = "sigs.k8s.io/gateway-api"
API_CRDS = "config/crd/standard"
"""Folder of the module with the standard channel's CRDs, a file each."""
NAMESPACE = "envoy-gateway-system"
RELEASE = "envoy-gateway"
TIMEOUT_SECONDS = 180


@dataclass(frozen=True)
class Gateway:
    """The release of Envoy Gateway in one cluster."""

    helm: str
    source: str
    """The chart as the module carries it: its key in the cache changes with the version."""
    kubeconfig: str
    folder: str
    """Where the filled-in chart and the record of the installation lie."""
    image: str
    """One image for controller and proxies."""

    def install(self) -> None:
        """Install or upgrade, unless this very version is there."""
        record = json.dumps(asdict(self))
        file = Path(self.folder) / "gateway.json"
        if file.exists() and file.read_text() == record:
            return
        # helm refuses to go on from a release whose installation was killed.
        for release in json.loads(self._run("list", "--pending", "--output=json")):
            self._run("uninstall", release["name"], "--no-hooks")
        self._run(
            *("upgrade", "--install", RELEASE, str(self._chart())),
            *("--create-namespace", f"--timeout={TIMEOUT_SECONDS}s"),
            *("--set", f"global.images.envoyProxy.image={self.image}"),
        )
        control_plane.write(file, record)

    def _chart(self) -> Path:
        """Fill in the chart's values: the module has a template of them only."""
        chart = Path(self.folder) / "gateway-helm"
        shutil.rmtree(chart, ignore_errors=True)
        shutil.copytree(self.source, chart)
        template = (chart / "values.tmpl.yaml").read_text()
        values = template.replace("${GatewayImage}", self.image)
        values = values.replace("${GatewayImagePullPolicy}", "IfNotPresent")
        (chart / "values.yaml").write_text(values)
        return chart

    def _run(self, *arguments: str) -> str:
        place = (f"--namespace={NAMESPACE}", f"--kubeconfig={self.kubeconfig}")
        return commands.ask_server(
            [self.helm, *arguments, *place],
            what="install Envoy Gateway",
            way_out=f"see `kubectl -n {NAMESPACE} get pods,events`, then run `up` again",
            env={"HOME": str(Path(self.folder) / "helm"), "PATH": "/usr/bin:/bin"},
            unsent=commands.HELM_UNSENT,
        )


def of(cache: programs.Cache, kubeconfig: Path, folder: Path, image: str) -> Gateway:
    """Describe the release that a cluster should have."""
    return Gateway(
        helm=str(cache.build(["helm"])["helm"]),
        source=str(cache.module_folder(MODULE, "charts/gateway-helm")),
        kubeconfig=str(kubeconfig),
        folder=str(folder),
        image=image,
    )
