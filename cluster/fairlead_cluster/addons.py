"""Install the add-ons: cluster DNS, dynamic volumes, Gateway API with Envoy Gateway.

All their pods run one image, so a fresh node pulls and unpacks once.
"""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import (
    api,
    commands,
    components,
    control_plane,
    images,
    imagetable,
    manifests,
    processes,
    programs,
    registry,
)

IMAGE = "addons"
GATEWAY_MODULE = "github.com/envoyproxy/gateway"
GATEWAY_NAMESPACE = "envoy-gateway-system"
GATEWAY_RELEASE = "envoy-gateway"
_PATIENCE_SECONDS = 180.0
DEPLOYMENTS = (
    ("kube-system", "coredns"),
    ("local-path-storage", "local-path-provisioner"),
    (GATEWAY_NAMESPACE, "envoy-gateway"),
)


@dataclass(frozen=True)
class Addons:
    """The add-ons of a cluster that has a node."""

    parts: components.Parts
    server: api.Api
    cache: programs.Cache
    image: str
    """Reference of the add-ons image, as the node knows it."""

    def install(self) -> None:
        """Install what is missing and bring the rest up to date."""
        self.server.apply(self._objects("coredns.yaml"), "install cluster DNS")
        self.server.apply(self._objects("local-path.yaml"), "install dynamic volumes")
        if self._gateway_record() != self._installed_gateway():
            self._install_gateway()
        self.server.apply(self._objects("gateway.yaml"), "make the gateway class")

    def wait(self, supervisor: processes.Supervisor) -> None:
        """Wait until every add-on serves.

        Raises:
            ComponentFailed: When the kubelet dies or an add-on doesn't come up.
        """
        for namespace, name in DEPLOYMENTS:
            path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
            serves = functools.partial(self._serves, path)
            supervisor.wait_ready("kubelet", serves, _PATIENCE_SECONDS)

    def _serves(self, path: str) -> bool:
        return is_available(self.server.get(path))

    def _objects(self, manifest: str) -> list[api.Object]:
        values = {
            "image": self.image,
            "dns": self.parts.addresses.dns,
            "volumes": self.parts.where.volumes,
            "node": self.parts.where.node_name,
        }
        return manifests.objects(manifest, values)

    @property
    def _record_file(self) -> Path:
        return self.parts.where.etc / "gateway.json"

    def _gateway_record(self) -> dict[str, str]:
        return {"image": self.image, "chart": str(self._chart_source())}

    def _installed_gateway(self) -> dict[str, str] | None:
        try:
            found: dict[str, str] = json.loads(self._record_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _chart_source(self) -> Path:
        return self.cache.module_folder(GATEWAY_MODULE, "charts/gateway-helm")

    def _install_gateway(self) -> None:
        self._forget_interrupted_release()
        self._helm(
            *("upgrade", "--install", GATEWAY_RELEASE, str(self._chart())),
            *("--create-namespace", f"--timeout={_PATIENCE_SECONDS:.0f}s"),
            *("--set", f"global.images.envoyProxy.image={self.image}"),
        )
        control_plane.write(self._record_file, json.dumps(self._gateway_record()))

    def _chart(self) -> Path:
        """The chart of the module has no values, only a template of them."""
        chart = self.parts.where.etc / "gateway-helm"
        shutil.rmtree(chart, ignore_errors=True)
        shutil.copytree(self._chart_source(), chart)
        template = (chart / "values.tmpl.yaml").read_text()
        values = template.replace("${GatewayImage}", self.image)
        values = values.replace("${GatewayImagePullPolicy}", "IfNotPresent")
        (chart / "values.yaml").write_text(values)
        return chart

    def _forget_interrupted_release(self) -> None:
        # helm refuses to go on from a release whose installation was killed.
        for release in json.loads(self._helm("list", "--pending", "--output=json")):
            self._helm("uninstall", release["name"], "--no-hooks")

    def _helm(self, *arguments: str) -> str:
        home = self.parts.where.root / "helm"
        place = (f"--namespace={GATEWAY_NAMESPACE}", f"--kubeconfig={self.parts.where.kubeconfig}")
        return commands.run(
            [self.cache.path("helm"), *arguments, *place],
            what="install Envoy Gateway",
            way_out=f"see `kubectl -n {GATEWAY_NAMESPACE} get pods,events`, then run `up` again",
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        )


def push_image(found: registry.Registry, cache: programs.Cache) -> str:
    """Build the add-ons image where it is missing, push it, and return its name on the node."""
    workshop = images.open_workshop(cache.folder, images.Options())
    repository, tag = imagetable.IMAGES[IMAGE].repository, workshop.key(IMAGE)
    # Asked before the workshop is: another process may hold it for the minutes of a torch build.
    if not found.has(repository, tag):
        workshop.push([IMAGE], found.url_for_host)
        found.keep()
    return f"{found.url_for_node}/{repository}:{tag}"


def is_available(deployment: api.Object | None) -> bool:
    """Tell whether the newest version of a Deployment serves with all its replicas."""
    if deployment is None:
        return False
    status = deployment.get("status", {})
    is_observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
    wanted = deployment["spec"]["replicas"]
    return bool(
        is_observed
        and status.get("availableReplicas") == wanted
        and status.get("updatedReplicas") == wanted
    )
