"""The real API server behind the proxy: where it is, and one request to it."""

import asyncio
import base64
import io
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import yaml
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
)
_OURS: Final = _HOP_BY_HOP | {"host", "accept-encoding"}
_CONNECT_SECONDS: Final = 60.0
_REPLY_SECONDS: Final = 120.0
_CLOSE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Upstream:
    """An API server and an administrator's certificate for it."""

    url: str
    plain: ssl.SSLContext
    """Trusts the server and shows no certificate: a request's own token then says who asks."""
    admin: ssl.SSLContext
    """As well, with the administrator's certificate."""

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """Read the current context of a kubeconfig that holds a client certificate."""
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        authority = _content(cluster, "certificate-authority").decode()
        admin = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # OpenSSL reads files only
            file.write(_content(user, "client-certificate") + b"\n" + _content(user, "client-key"))
            file.flush()
            admin.load_cert_chain(file.name)
        return cls(cluster["server"], ssl.create_default_context(cadata=authority), admin)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _content(entry: Mapping[str, str], field: str) -> bytes:
    if data := entry.get(f"{field}-data"):
        return base64.b64decode(data)
    return Path(entry[field]).read_bytes()


@dataclass(frozen=True)
class Reply:
    """What the API server said, read to its end."""

    code: int
    headers: CIMultiDict[str]
    """Without those of the connection."""
    body: bytes

    @property
    def content_type(self) -> str:
        """Its media type; empty where it has none."""
        return self.headers.get("Content-Type", "")


class Client:
    """Connections to the API server, kept alive; who asks, its own token says. Close it."""

    def __init__(self, upstream: Upstream) -> None:
        self._url = upstream.url.rstrip("/")
        self._opening: set[asyncio.Task[aiohttp.ClientResponse]] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=upstream.plain),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Let what is on its way arrive, then close all connections."""
        if self._opening:
            await asyncio.wait(self._opening, timeout=_CLOSE_SECONDS)
        await self._session.close()

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: "CIMultiDictProxy[str]", body: bytes = b""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; yields the reply with its body still to come.

        Raises ClientError, OSError. Time is limited for the connection only.
        """
        opening = asyncio.create_task(self._open(method, target, headers, body))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        try:
            reply = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_abandon)
            raise
        try:
            yield reply
        finally:
            _abort(reply)

    async def _open(
        self, method: str, target: str, headers: "CIMultiDictProxy[str]", body: bytes
    ) -> aiohttp.ClientResponse:
        # Compression is left out: replies are read here, and the machine is the same.
        kept = CIMultiDict(
            (key, value) for key, value in headers.items() if key.lower() not in _OURS
        )
        kept["Accept-Encoding"] = "identity"
        return await self._session.request(
            method,
            URL(self._url + target, encoded=True),
            headers=kept,
            data=io.BytesIO(body) if body else None,  # as it warns of large bytes
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )

    async def send(
        self, method: str, target: str, headers: "CIMultiDictProxy[str]", body: bytes = b""
    ) -> Reply:
        """Send a request and read its reply; raises ClientError, OSError (a timeout is one)."""
        async with (
            asyncio.timeout(_REPLY_SECONDS),
            self.stream(method, target, headers, body) as reply,
        ):
            return Reply(reply.status, end_to_end(reply.headers), await reply.read())


def _abort(reply: aiohttp.ClientResponse) -> None:
    """Break the connection unless the reply was read to its end.

    A TLS connection that is closed politely waits for the server's word, and outlives us.
    """
    connection = reply.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    reply.close()


def _abandon(opening: "asyncio.Task[aiohttp.ClientResponse]") -> None:
    """Break what was opened for somebody who is gone."""
    if not opening.cancelled() and opening.exception() is None:
        _abort(opening.result())


def end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers that are not of one connection."""
    return CIMultiDict(
        (key, value) for key, value in headers.items() if key.lower() not in _HOP_BY_HOP
    )
