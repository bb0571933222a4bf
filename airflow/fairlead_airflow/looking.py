"""One look at a cluster for the status page: a login of its own, and nothing kept of it.

The page is made in Airflow's API server: no program of a connection's kubeconfig may run there,
no client outlives its request, and a cluster that is away must not hold the request up.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.config import ConfigException, incluster_config, kube_config

from fairlead_airflow import hooks, programs, stream, watch
from fairlead_airflow.manifests import Manifest

LONGEST_SECONDS: Final = 8.0
"""After which a cluster is called away; the page promises to say so within 10 s."""


class NoLook(Exception):
    """Why nothing can be shown, for who reads the page; never holds a secret."""


@dataclass(frozen=True)
class Page:
    """A page of one kind."""

    items: list[Manifest]
    following: str
    """Token of the next page; empty on the last."""
    left: int
    """How many come after it, as far as the API server tells."""


class Connection:
    """An Airflow connection as the page takes it."""

    def __init__(self, conn_id: str, extra: Mapping[str, Any]) -> None:
        self.conn_id = conn_id
        self._extra = extra

    def field(self, name: str) -> Any:
        """A field of the form, by its short or its long name."""
        long = f"extra__{hooks.FairleadHook.conn_type}__{name}"
        return self._extra.get(name) or self._extra.get(long) or None

    @property
    def namespace(self) -> str:
        """Where to look when nobody says."""
        return str(self.field("namespace") or KubernetesHook.DEFAULT_NAMESPACE)

    async def jobs_or_services(
        self, kind: str, namespace: str, limit: int, token: str = ""
    ) -> Page:
        """A page of a kind.

        Raises:
            NoLook: Where there is no answer, within LONGEST_SECONDS.
        """
        async with self._open(kind, namespace) as api:
            try:
                listed = await api.page(limit, token)
            except watch.Gone:
                raise NoLook("This page is out of date: begin at the first one again.") from None
        metadata = listed["metadata"]
        items = [{"kind": kind} | item for item in listed["items"]]
        left = metadata.get("remainingItemCount") or 0
        return Page(items, metadata.get("continue") or "", left)

    async def one(self, of: hooks.Target) -> Manifest | None:
        """One resource; None where there is none."""
        async with self._open(of.kind, of.namespace) as api:
            return await api.read(of.name)

    @asynccontextmanager
    async def _open(self, kind: str, namespace: str) -> AsyncIterator[stream.Connection]:
        try:
            async with asyncio.timeout(LONGEST_SECONDS), self._client() as client:
                yield stream.Connection(client, hooks.Target(kind, namespace, ""))
        except TimeoutError:
            raise NoLook(
                f"The cluster of connection {self.conn_id} doesn't answer within"
                f" {LONGEST_SECONDS:.0f} s."
            ) from None
        except watch.Unavailable as unavailable:
            raise NoLook(f"The cluster of connection {self.conn_id}: {unavailable}") from None
        except hooks.Refused as refused:
            raise NoLook(f"Connection {self.conn_id}: {refused}") from None

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[ApiClient]:
        settings = Configuration()
        try:
            await self._log_in(settings)
        except (ConfigException, OSError, ValueError, yaml.YAMLError) as failure:
            # What stands in a kubeconfig may be secret, and parsers quote what they read.
            raise NoLook(
                f"Connection {self.conn_id}: its kubeconfig can't be used"
                f" ({type(failure).__name__}); its test button says more."
            ) from failure
        settings.retries = False
        async with ApiClient(settings) as client:
            yield client

    async def _log_in(self, settings: Configuration) -> None:
        content, path = self.field("kube_config"), self.field("kube_config_path")
        if self._is_in_cluster(content or path):
            load = incluster_config.load_incluster_config
            load(client_configuration=settings)  # type: ignore[no-untyped-call]
            return
        if content:
            config = json_or_yaml(content)
        else:
            place = path or os.environ.get("KUBECONFIG") or kube_config.KUBE_CONFIG_DEFAULT_LOCATION
            config = kube_config.KubeConfigMerger(str(place)).config
            if config is None:
                raise NoLook(f"Connection {self.conn_id}: no kubeconfig on the API server's side.")
        context = self.field("cluster_context")
        loader = kube_config.KubeConfigLoader(config, active_context=context, config_base_path=None)
        self._refuse_programs(loader)
        await loader.load_and_set(settings)

    def _is_in_cluster(self, names_another: object) -> bool:
        asked = self.field("in_cluster")
        if asked is not None:
            return asked is True or str(asked).lower() == "true"
        return not names_another and os.path.isfile(incluster_config.SERVICE_TOKEN_FILENAME)

    def _refuse_programs(self, loader: Any) -> None:
        if way := programs.of(loader._user):  # upstream tells it no other way
            raise NoLook(
                f"Connection {self.conn_id} logs in by a program ({way} in its kubeconfig)."
                " Tasks may; Airflow's API server does not run it. Name a connection with a"
                " token or a certificate that may get and list, for this page."
            )


def json_or_yaml(content: Any) -> Any:
    """A kubeconfig as the connection holds it: a mapping, or text of it."""
    if isinstance(content, Mapping):
        return dict(content)
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        return yaml.safe_load(content)
