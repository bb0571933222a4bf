"""The only module that speaks to the API server.

Carries out the calls of ``kube.Cluster`` over HTTP: one timeout, one error tree, one place that
retries, counts, paces and asks before it writes. Knows nothing of jobs or models.
"""

import asyncio
import copy
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import pydantic_core

from fairlead_api import names, nesting
from fairlead_operator import kube, lean
from fairlead_operator.kube import Kind
from fairlead_operator.pace import Pace
from fairlead_operator.plan import Manifest

lean.prepare()  # before the first import of the client, or it loads every model there is
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

TIMEOUT_SECONDS: Final = 20.0
ATTEMPTS: Final = 4
LONGEST_PAUSE_SECONDS: Final = 8.0
CONNECTIONS: Final = 64
CHUNK: Final = 500

_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"
_HEAD: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_HEADS: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Observer = Callable[[str, str, int, float], None]
"""Told of each request: verb, plural, HTTP code (0: no answer), seconds."""
Fence = Callable[[], float]
"""Asked before a write is sent: for how many seconds it may still be; raises where it may not."""


async def configuration() -> Configuration:
    """Where the API server is: in a pod its service account, else the kubeconfig."""
    found = Configuration()
    try:
        load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
    except ConfigException:
        await load_kube_config(client_configuration=found)
    found.connection_pool_maxsize = CONNECTIONS
    return found


class ApiCluster:
    """``kube.Cluster`` over HTTP. Close it when done."""

    def __init__(self, config: Configuration, observe: Observer, pace: Pace | None = None) -> None:
        self._client = ApiClient(config)
        # The library's own reads ~/.netrc and proxies' variables at each request; kopf's doesn't.
        self._session = aiohttp.ClientSession(
            connector=self._client.rest_client.pool_manager.connector,
            connector_owner=False,
            headers={"User-Agent": names.MANAGER_OPERATOR},
        )
        self._observe = observe
        self._pace = pace or Pace()
        self._fence: Fence = _no_fence

    def fenced(self, fence: Fence) -> "ApiCluster":
        """The same client for somebody whose writes are allowed for a time only.

        Each time a write is about to be sent, also after a pause, ``fence`` is asked, and what it
        raises goes to the caller; asked again at the socket, it breaks that attempt.
        """
        twin = copy.copy(self)
        twin._fence = fence
        return twin

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
        await self._client.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Read one object; raises NotFound."""
        return await self._call("get", kind, kind.path(namespace, name))

    async def exists(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether an object is there, without reading its content."""
        try:
            await self._call("get", kind, kind.path(namespace, name), accept=_HEAD)
        except kube.NotFound:
            return False
        return True

    async def list_heads(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """The head of every object of a kind; of our children only, where the kind is one."""
        wanted = [names.SELECTOR_MANAGED] if kind.child else []
        wanted += [f"{label}={value}" for label, value in (labels or {}).items()]
        selector = {"labelSelector": ",".join(wanted)} if wanted else {}
        try:
            return await self._list(kind, namespace, selector | {"limit": str(CHUNK)})
        except kube.Expired:  # too slow for its pages: one piece can't grow too old
            return await self._list(kind, namespace, selector)

    async def _list(
        self, kind: Kind, namespace: str | None, params: dict[str, str]
    ) -> list[Manifest]:
        """The heads of every page of a listing."""
        found: list[Manifest] = []
        path, rest = kind.path(namespace), dict[str, str]()
        while True:
            page = await self._call("list", kind, path, params | rest, accept=_HEADS)
            found += map(kube.head, page.get("items") or [])
            token = kube.metadata(page).get("continue")
            del page  # or it would stay beside the next one
            if not token:
                return found
            rest = {"continue": token}

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object; raises AlreadyExists."""
        kind = kube.kind_of(manifest)
        path = kind.path(kube.metadata(manifest).get("namespace"))
        params = _strict(names.MANAGER_OPERATOR)
        return await self._call("create", kind, path, params, manifest)

    async def apply(
        self,
        manifest: Manifest,
        *,
        subresource: str = "",
        manager: str = names.MANAGER_OPERATOR,
    ) -> Manifest:
        """Server-side apply, forced; a uid or resourceVersion in metadata is a precondition."""
        kind, head = kube.kind_of(manifest), kube.metadata(manifest)
        path = kind.path(head.get("namespace"), head["name"], subresource)
        params = _strict(manager) | {"force": "true"}
        return await self._call("patch", kind, path, params, manifest, content_type=_APPLY)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Write a whole object over the resourceVersion that it carries; raises Conflict."""
        kind, head = kube.kind_of(manifest), kube.metadata(manifest)
        path = kind.path(head.get("namespace"), head["name"])
        return await self._call("update", kind, path, _strict(names.MANAGER_OPERATOR), manifest)

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str, version: str = ""
    ) -> Manifest | None:
        """Delete in the background if uid and version match; raises NotFound, Conflict.

        Returns the object as it waits for its end, None where it is gone already.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid} | ({"resourceVersion": version} if version else {}),
        }
        left = await self._call("delete", kind, kind.path(namespace, name), body=options)
        return left if left.get("kind") == kind.kind else None

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind now."""
        try:
            found = await self._call("discover", kind, kind.root)
        except kube.NotFound:
            return False
        return any(entry["name"] == kind.plural for entry in found.get("resources") or [])

    async def _call(
        self,
        verb: str,
        kind: Kind,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        *,
        accept: str = _JSON,
        content_type: str = _JSON,
    ) -> Manifest:
        """Make a call, again where the API server only asks for patience."""
        headers = {"Accept": accept, "Content-Type": content_type}
        url = f"{path}?{urlencode(params)}" if params else path
        content = None if body is None else pydantic_core.to_json(body)
        for attempt in range(1, ATTEMPTS + 1):
            await self._pace.wait()
            try:
                return await self._once(verb, kind, url, headers, content)
            except kube.Unavailable as error:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(_pause_seconds(attempt, error.retry_after_seconds))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self,
        verb: str,
        kind: Kind,
        url: str,
        headers: dict[str, str],
        content: bytes | None,
    ) -> Manifest:
        left_seconds = self._fence() if verb in _WRITES else TIMEOUT_SECONDS
        begin, code = time.monotonic(), 0
        call, rest = f"{verb} {url.partition('?')[0]}", self._client.rest_client
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"])
            async with self._session.request(
                _METHODS[verb],
                f"{self._client.configuration.host}{url}",
                headers=headers,
                data=None if content is None else _Content(content, self._fence),
                proxy=rest.proxy,
                proxy_headers=rest.proxy_headers,
                server_hostname=rest.server_hostname,
                timeout=_limits(left_seconds),
            ) as answer:
                code = answer.status
                told = await answer.read()
        except TimeoutError as error:
            said = str(error) or f"no answer within {TIMEOUT_SECONDS:.0f} s"
            raise kube.Unavailable(f"{call}: {said}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise kube.Unavailable(f"{call}: {error or type(error).__name__}") from error
        finally:
            self._observe(verb, kind.plural, code, time.monotonic() - begin)
        if code >= 300:
            raise kube.error(call, code, _status(told), _retry_after(answer.headers))
        return _decoded(told)


class _Content(aiohttp.BytesPayload):
    """What a write sends; asks once more at the socket, for those of one turn queue up there."""

    def __init__(self, value: bytes, fence: Fence) -> None:
        super().__init__(value, content_type=_JSON)
        self._fence = fence

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        self._fence()  # what it raises breaks the connection: the next attempt is asked too
        await super().write_with_length(writer, content_length)


_METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "discover": "GET",
    "create": "POST",
    "patch": "PATCH",
    "update": "PUT",
    "delete": "DELETE",
}
_WRITES: Final = {"create", "patch", "update", "delete"}


def _no_fence() -> float:
    return TIMEOUT_SECONDS


def _limits(connect_seconds: float) -> aiohttp.ClientTimeout:
    """A request goes out as soon as it has a connection: so late and no later."""
    connect = min(connect_seconds, TIMEOUT_SECONDS)
    # By default the client rounds up to whole seconds.
    return aiohttp.ClientTimeout(TIMEOUT_SECONDS, connect=connect, ceil_threshold=TIMEOUT_SECONDS)


def _strict(manager: str) -> dict[str, str]:
    return {"fieldManager": manager, "fieldValidation": "Strict"}


def _pause_seconds(attempt: int, asked: float) -> float:
    """Wait as long as asked, else twice as long each time, with jitter."""
    own = 0.25 * 2 ** (attempt - 1)
    return float(min(LONGEST_PAUSE_SECONDS, max(asked, own)) * random.uniform(1, 1.25))


def _retry_after(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0


def _decoded(content: bytes) -> Manifest:
    decoded: dict[str, Any] = nesting.loads(content)
    return decoded


def _status(content: bytes) -> Manifest:
    """The body of a refusal, whatever a proxy made of it."""
    try:
        decoded = nesting.loads(content)
    except ValueError:
        return {"message": content[:300].decode(errors="replace")}
    return decoded if isinstance(decoded, dict) else {"message": str(decoded)[:300]}
