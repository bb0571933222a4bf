"""The registry of the machine's own: images lie in the cache, every cluster pulls from it.

It listens on one loopback address that only this machine and the clusters' wires reach. crane
keeps layers on disk but forgets which tags there were, so `keep` writes those down and `ensure`
gives them back. No authentication: nobody else can reach it.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import cgroups, errors, host, network, processes, programs, ranges, state

PORT = 5000
NODE_NAME = "registry.fairlead.internal"
"""What image names in manifests begin with: the same in every cluster, never looked up in DNS."""
_CGROUP = "fairlead.registry"
_ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
_TIMEOUT_SECONDS = 30.0
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Registry:
    """The running registry."""

    folder: Path
    """Where layers and tags lie."""
    url_for_host: str = f"{ranges.REGISTRY_ADDRESS}:{PORT}"
    """What the host pushes to, as `host:port` without a scheme; plain HTTP."""
    url_for_node: str = NODE_NAME
    """What image names in manifests begin with."""

    def has(self, repository: str, tag: str) -> bool:
        """Tell whether an image is there."""
        return self._manifest(repository, tag) is not None

    def name_again(self, name: tuple[str, str], as_name: tuple[str, str]) -> None:
        """Give an image a second repository and tag; repositories here share all layers."""
        found = self._manifest(*name)
        if found is None:
            raise errors.ImageMissing(f"the registry has no {':'.join(name)}", "push it again")
        self._request("PUT", f"/v2/{as_name[0]}/manifests/{as_name[1]}", *found)

    def keep(self) -> None:
        """Write down all tags, so that they outlive the process; call it after a push."""
        for repository, tag in self._tags():
            found = self._manifest(repository, tag)
            if found is not None:
                self._write_down(repository, tag, *found)

    def restore(self) -> None:
        """Give a new process the tags that were written down."""
        for file in sorted((self.folder / "tags").rglob("*.json")):
            record = json.loads(file.read_text())
            path = f"/v2/{record['repository']}/manifests/{record['tag']}"
            self._request("PUT", path, record["manifest"].encode(), record["media_type"])

    def is_ready(self) -> bool:
        """Tell whether the registry answers."""
        try:
            return self._request("GET", "/v2/") is not None
        except OSError:
            return False

    def _tags(self) -> Iterator[tuple[str, str]]:
        catalog = self._request("GET", "/v2/_catalog")
        for repository in json.loads(catalog[0])["repositories"] if catalog else ():
            listed = self._request("GET", f"/v2/{repository}/tags/list")
            for tag in json.loads(listed[0])["tags"] if listed else ():
                yield repository, tag

    def _manifest(self, repository: str, tag: str) -> tuple[bytes, str] | None:
        return self._request("GET", f"/v2/{repository}/manifests/{tag}")

    def _write_down(self, repository: str, tag: str, manifest: bytes, media_type: str) -> None:
        target = self.folder / "tags" / repository / f"{tag}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "repository": repository,
            "tag": tag,
            "media_type": media_type,
            "manifest": manifest.decode(),
        }
        aside = target.with_suffix(".new")
        aside.write_text(json.dumps(record))
        os.replace(aside, target)

    def _request(
        self, method: str, path: str, body: bytes | None = None, media_type: str | None = None
    ) -> tuple[bytes, str] | None:
        """Return body and media type, None when there is no such thing."""
        headers = {"Accept": _ACCEPT}
        if media_type is not None:
            headers["Content-Type"] = media_type
        request = urllib.request.Request(
            f"http://{self.url_for_host}{path}", body, headers, method=method
        )
        # An HTTP proxy of the environment can't reach an address of our own.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as refused:
            with refused:
                if refused.code == 404:
                    return None
                raise


def ensure(state_dir: Path, cache: programs.Cache) -> Registry:
    """Start the registry unless it runs; whoever starts it gives it the tags it had."""
    host.require_root()
    crane = cache.build(["crane"])["crane"]
    with _locked(state_dir):
        return _ensure(state_dir, cache, crane)


def _ensure(state_dir: Path, cache: programs.Cache, crane: Path) -> Registry:
    network.add_registry_address()
    found = Registry(folder=cache.folder / "registry")
    blobs = found.folder / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    command = (
        str(crane),
        "registry",
        "serve",
        f"--address={found.url_for_host}",
        f"--disk={blobs}",
    )
    group = cgroups.of(_CGROUP)
    group.create()
    supervisor = _supervisor(state_dir, group)
    is_new = supervisor.start(processes.Component("registry", command))
    supervisor.wait_ready("registry", found.is_ready, _PATIENCE_SECONDS)
    if is_new:
        found.restore()
    return found


def stop(state_dir: Path) -> None:
    """Stop the registry and take its address away; images stay in the cache."""
    group = cgroups.of(_CGROUP)
    with _locked(state_dir):
        group.remove()
        (_supervisor(state_dir, group).pids / "registry.json").unlink(missing_ok=True)
        network.remove_registry_address()


def _locked(state_dir: Path) -> AbstractContextManager[None]:
    return state.lock(state_dir, ".registry", "  … another process starts or stops the registry")


def _supervisor(state_dir: Path, group: cgroups.Cgroup) -> processes.Supervisor:
    folder = state_dir / ".registry"
    return processes.Supervisor(pids=folder, logs=folder, cgroup=group, namespace=None)
