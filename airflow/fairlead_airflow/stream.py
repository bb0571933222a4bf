"""A watch's connection to the API server, by the cncf provider's asynchronous hook."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from fairlead_airflow import asynchooks, hooks, watch
from fairlead_airflow.manifests import Manifest
from fairlead_api import names, nesting

_READ_SECONDS: Final = 60
_SILENCE_SECONDS: Final = 150  # bookmarks come each minute: longer silence is a dead connection


class Connection:
    """One kind in one namespace over one client."""

    def __init__(self, api_client: Any, of: hooks.Target) -> None:
        self._client = api_client
        self._of = of
        namespaced = f"/apis/{names.API_VERSION}/namespaces/{of.namespace}"
        self._path = f"{namespaced}/{of.plural}"

    async def page(self, limit: int, token: str) -> Manifest:
        """A page of the list."""
        async with self._answer("GET", self._path, {"limit": limit, "continue": token}) as answer:
            found: Manifest = nesting.loads(await answer.read())
        return found

    async def read(self, name: str) -> Manifest | None:
        """One resource; None where there is none."""
        try:
            async with self._answer("GET", f"{self._path}/{name}") as answer:
                found: Manifest = nesting.loads(await answer.read())
        except hooks.Refused as refused:
            if refused.status != 404:
                raise
            return None
        return found

    async def events(self, version: str, seconds: int) -> AsyncIterator[Manifest]:
        """Watch events after a version, for some seconds."""
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": seconds,
        }
        silence = aiohttp.ClientTimeout(sock_connect=_READ_SECONDS, sock_read=_SILENCE_SECONDS)
        async with self._answer("GET", self._path, query, timeout=silence) as answer:
            async for event in watch.lines(answer.content.iter_any()):
                yield event

    async def suspend(self, name: str, uid: str) -> None:
        """Suspend a FineTuneJob; refused where it isn't the one meant."""
        patch = {"metadata": {"uid": uid}, "spec": {"suspend": True}}
        async with self._answer("PATCH", f"{self._path}/{name}", body=patch):
            return

    async def delete(self, name: str, uid: str) -> None:
        """Delete the one meant and no other; it may be gone already, or another in its place."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            async with self._answer("DELETE", f"{self._path}/{name}", body=options):
                return
        except hooks.Refused as refused:
            if refused.status not in (404, 409):
                raise

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, str | int] | None = None,
        body: Manifest | None = None,
        timeout: float | aiohttp.ClientTimeout = _READ_SECONDS,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request; raises Gone, Unavailable or Refused in place of any other."""
        kind = hooks.MERGE if method == "PATCH" else "application/json"
        try:
            answer = await self._client.call_api(
                f"{path}?{urlencode(query)}" if query else path,
                method,
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=timeout,
            )
            async with answer, _cut_short(answer):
                if answer.status >= 400:
                    raise _failure(self._of, answer, await answer.text())
                yield answer
        except (TimeoutError, aiohttp.ClientError, OSError, json.JSONDecodeError) as broken:
            raise watch.Unavailable(f"the API server doesn't answer: {broken!r}") from broken


@asynccontextmanager
async def _cut_short(answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """Drop the connection of an answer that is left before its end.

    Closing it would wait for the server's goodbye, which a loop that ends doesn't live to see.
    """
    try:
        yield
    except BaseException:
        if answer.connection is not None and answer.connection.transport is not None:
            answer.connection.transport.abort()
        raise


class Kubernetes:
    """Opens connections to one kind in one namespace with an Airflow connection."""

    def __init__(self, conn_id: str, kind: str, namespace: str) -> None:
        self._login = asynchooks.Login(conn_id)
        self._of = hooks.Target(kind, namespace, "")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        """A connection with credentials as they are now."""
        async with self._login.client() as api_client:
            yield Connection(api_client, self._of)


def _failure(of: hooks.Target, answer: aiohttp.ClientResponse, text: str) -> Exception:
    if answer.status == 410:
        return watch.Gone()
    failure = hooks.named(of, answer.status, answer.reason or "", text)
    if isinstance(failure, hooks.Unauthorized):
        return asynchooks.Unauthorized(str(failure))
    if isinstance(failure, hooks.Unreachable):
        return watch.Unavailable(str(failure))
    return failure
