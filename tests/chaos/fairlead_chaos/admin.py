"""The harness's own client of the API server: as administrator, past the proxy.

The only module here besides the proxy that speaks HTTP to the API server. It may do anything that
a kubeconfig allows; what for is others' to say. Refusals are ``fairlead_operator.kube``'s errors.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, Self

import aiohttp

from fairlead_chaos.scenario import Manifest
from fairlead_chaos.upstream import Upstream
from fairlead_operator import kube
from fairlead_operator.kube import Kind

TIMEOUT_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 180.0
BUSY_SECONDS: Final = 0.5
TOO_MANY_REQUESTS: Final = 429
CONNECTIONS: Final = 400
USER_AGENT: Final = "fairlead-chaos"
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
HEADS: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_LINE_BYTES: Final = 2**23

NAMESPACE: Final = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE: Final = Kind("v1", "Node", "nodes", namespaced=False)
VOLUME: Final = Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False)
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
QUOTA: Final = Kind("v1", "ResourceQuota", "resourcequotas")
REPLICA_SET: Final = Kind("apps/v1", "ReplicaSet", "replicasets")
GATEWAY_CLASS: Final = Kind(
    kube.GATEWAY.api_version, "GatewayClass", "gatewayclasses", namespaced=False
)
_RBAC: Final = "rbac.authorization.k8s.io/v1"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"
ROLE: Final = Kind(_RBAC, "Role", "roles")
ROLE_BINDING: Final = Kind(_RBAC, "RoleBinding", "rolebindings")
CLUSTER_ROLE: Final = Kind(_RBAC, "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING: Final = Kind(
    _RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
POLICY: Final = Kind(
    _ADMISSION, "MutatingAdmissionPolicy", "mutatingadmissionpolicies", namespaced=False
)
POLICY_BINDING: Final = Kind(
    _ADMISSION,
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    namespaced=False,
)
_OWN_KINDS: Final = {
    (kind.api_version, kind.kind): kind
    for kind in (
        NAMESPACE, NODE, VOLUME, SERVICE_ACCOUNT, QUOTA, REPLICA_SET, ROLE, ROLE_BINDING,
        CLUSTER_ROLE, CLUSTER_ROLE_BINDING, POLICY, POLICY_BINDING, GATEWAY_CLASS,
    )
}  # fmt: skip


def kind_of(manifest: Manifest) -> Kind:
    """The kind of an object, of the operator's table or the harness's; else LookupError."""
    own = _OWN_KINDS.get((manifest["apiVersion"], manifest["kind"]))
    return own or kube.kind_of(manifest)


class Admin:
    """Calls and watches. ``async with`` it."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None
        self._waits: set[asyncio.Timeout] = set()
        self.futile: BaseException | None = None
        """Why nobody is to wait for anything any more."""

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._upstream.admin, limit=CONNECTIONS)
        self._session = aiohttp.ClientSession(
            base_url=self._upstream.url,
            connector=connector,
            headers={"User-Agent": USER_AGENT},
            read_bufsize=_LINE_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Manifest:
        """Make a call, again while the API server is too busy; raises ``kube.ClusterError``."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self._once(method, path, body, params, content_type, accept)
            except (kube.Unavailable, aiohttp.ClientError, TimeoutError) as error:
                # A create whose answer was lost may have been carried out.
                is_undone = getattr(error, "status", 0) == TOO_MANY_REQUESTS
                is_undone |= isinstance(error, aiohttp.ClientConnectorError)
                is_safe = method != "POST" or is_undone
                if not is_safe or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(BUSY_SECONDS)

    async def _once(
        self,
        method: str,
        path: str,
        body: Manifest | None,
        params: Mapping[str, str] | None,
        content_type: str,
        accept: str,
    ) -> Manifest:
        assert self._session is not None
        async with self._session.request(
            method,
            path,
            params=params,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content_type, "Accept": accept},
            timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS),
        ) as answer:
            found = _decoded(await answer.read())
        if answer.status >= 300:
            raise kube.error(f"{method} {path}", answer.status, found)
        return found

    @asynccontextmanager
    async def patience(self, seconds: float) -> AsyncIterator[None]:
        """End by TimeoutError after some seconds, or as soon as waiting is futile."""
        async with asyncio.timeout(0 if self.futile else seconds) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.remove(wait)

    def end_waits(self, why: BaseException) -> None:
        """End every wait, now and from now on: what makes things happen is gone."""
        self.futile = why
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(asyncio.get_running_loop().time())

    async def create(self, manifest: Manifest, namespace: str | None = None) -> Manifest:
        """Create an object, which has a name; raises AlreadyExists.

        Where the answer to a try is lost, what stands then is taken for its work.
        """
        kind, deadline, is_lost = kind_of(manifest), time.monotonic() + PATIENCE_SECONDS, False
        while True:
            try:
                return await self.call("POST", kind.path(namespace), manifest)
            except kube.AlreadyExists:
                if not is_lost:
                    raise
                return await self.call("GET", kind.path(namespace, manifest["metadata"]["name"]))
            except (kube.Unavailable, aiohttp.ClientError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                is_lost = True
            await asyncio.sleep(BUSY_SECONDS)

    async def ensure(self, manifest: Manifest, namespace: str | None = None) -> None:
        """Create an object that somebody else may make as well."""
        with suppress(kube.AlreadyExists):
            await self.create(manifest, namespace)

    async def patch(
        self, kind: Kind, namespace: str | None, name: str, change: Manifest, subresource: str = ""
    ) -> Manifest:
        """JSON merge patch."""
        path = kind.path(namespace, name, subresource)
        return await self.call("PATCH", path, change, content_type=MERGE_PATCH)

    async def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete in the background; absent is well."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self.call("DELETE", kind.path(namespace, name), options)
        except kube.NotFound:
            return

    async def listing(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> Manifest:
        """A listing, whole."""
        return await self.call("GET", kind.path(namespace), params=params, accept=accept)

    async def watch(
        self, kind: Kind, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncGenerator[tuple[str, Manifest], None]:
        """Events (type, object) until the server ends the stream; ``Expired`` where it is told."""
        assert self._session is not None
        path, query = kind.path(namespace), {**params, "watch": "true"}
        no_end = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        async with self._session.get(path, params=query, timeout=no_end) as answer:
            if answer.status >= 300:
                raise kube.error(f"watch {path}", answer.status, _decoded(await answer.read()))
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise kube.error(f"watch {path}", status.get("code", 500), status)
                yield event["type"], event["object"]

    async def states(
        self, kind: Kind, namespace: str | None, query: Mapping[str, str]
    ) -> AsyncGenerator[list[Manifest], None]:
        """All that a query selects, by name: now and after each change of one of them.

        Ends when the server ends the watch; ``Expired`` where it is told so.
        """
        listed = await self.listing(kind, namespace, params=query)
        what = {"apiVersion": kind.api_version, "kind": kind.kind}  # items don't say it
        held = {each["metadata"]["name"]: what | each for each in listed["items"]}
        yield [held[name] for name in sorted(held)]
        since = {"resourceVersion": listed["metadata"]["resourceVersion"]}
        async with aclosing(self.watch(kind, namespace, {**query, **since})) as events:
            async for type_, found in events:
                name = found["metadata"]["name"]
                if type_ == "DELETED":
                    held.pop(name, None)
                else:
                    held[name] = found
                yield [held[name] for name in sorted(held)]


def _decoded(content: bytes) -> Manifest:
    """An answer; paths that aren't served are told so in plain text."""
    try:
        found: Manifest = json.loads(content)
    except ValueError:
        return {"message": content[:300].decode(errors="replace")}
    return found
